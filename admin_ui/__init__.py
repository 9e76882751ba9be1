"""The face: pages and JSON for people. Asks one protocol; knows no index, store or upstream."""

"""The dashboard's facts as JSON under `/api`. Shapes only; no page, no log-in."""

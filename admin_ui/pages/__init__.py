"""The pages, one module each: ask the console, hand plain facts to a template. No rule is here."""

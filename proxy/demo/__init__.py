"""The main job on one screen: a sample upstream, a bundled set of prompts, the show."""

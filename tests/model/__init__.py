"""The whole proxy beside a model of it: in whatever order things happen, nothing untrue is said."""

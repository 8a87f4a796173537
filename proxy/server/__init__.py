"""The listener: adapts callers to turns."""

"""What a process in the background is made of: its place, its lock, its time, and how another takes over."""

//! Drives the engine's services over shadow tables to say who would get what, and when.

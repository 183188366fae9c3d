//! The one loop shape, roles, incarnation and heartbeat.

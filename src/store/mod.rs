//! All SQL: one file per noun, one function per statement; the caller passes the connection.

//! Ways out: email, SMS and tasks behind the one trait `Channel`.

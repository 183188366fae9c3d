//! The sandbox: a recording SMTP server and a recording SMS gateway.

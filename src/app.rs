//! Builds the parts from the configuration, starts the services and stops them in order.

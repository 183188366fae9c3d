mod sms;
mod smtp;

//! Email addresses as kith accepts them.

use std::fmt;

use super::text::{Malformed, text_form};

/// Why a text is not an email address.
pub type EmailError = Malformed;

/// The longest address that fits the SMTP path of 256 octets with its angle brackets (RFC 5321, 4.5.3.1.3).
const MAX_ADDRESS: usize = 254;
/// The longest local part (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// One email address: a dot-atom local part in ASCII, an `@`, and a domain in lower case (an international
/// domain in its punycode form). Quoted local parts, display names, lists and address literals are refused:
/// in customer data they are mistakes far more often than addresses.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress {
    text: String,
    at: usize,
}

impl EmailAddress {
    /// The one door: trims, checks, and writes the domain in its one form.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Malformed::new("the email address is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(Malformed::new("an email address has no control characters"));
        }
        if text.chars().any(char::is_whitespace) {
            return Err(Malformed::new("an email address has no spaces"));
        }
        if text.contains(['<', '>']) {
            return Err(Malformed::new(
                "give the bare email address, without angle brackets",
            ));
        }
        if text.contains([',', ';']) {
            return Err(Malformed::new("one email address, not a list"));
        }
        let (local, domain) = text
            .split_once('@')
            .ok_or_else(|| Malformed::new("an email address needs an @"))?;
        check_local(local)?;
        let domain = domain_form(domain)?;
        let at = local.len();
        let text = format!("{local}@{domain}");
        if text.len() > MAX_ADDRESS {
            return Err(Malformed::new("an email address has at most 254 characters"));
        }
        Ok(Self { text, at })
    }

    /// The address as it is written into a message: the local part keeps its case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The comparison key: the whole address in lower case. Servers may tell `Ann` from `ann`; none is known to.
    pub fn norm(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The domain, lower case, in punycode where it is international.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The part before the `@`, as written.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }
}

/// A dot-atom (RFC 5322, 3.2.3), which is what servers and message builders agree on.
fn check_local(local: &str) -> Result<(), EmailError> {
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    if local.is_empty() {
        return Err(Malformed::new("nothing stands before the @"));
    }
    if !local.is_ascii() {
        return Err(Malformed::new(
            "the part before the @ has letters outside ASCII, which few servers take",
        ));
    }
    if local.len() > MAX_LOCAL {
        return Err(Malformed::new("the part before the @ has at most 64 characters"));
    }
    if local.split('.').any(str::is_empty) {
        return Err(Malformed::new(
            "the part before the @ has a dot at its edge or two in a row",
        ));
    }
    if local.chars().any(|c| c != '.' && !atom(c)) {
        return Err(Malformed::new(
            "the part before the @ has a character that email does not allow",
        ));
    }
    Ok(())
}

/// The domain as names are compared: UTS 46 to ASCII, then the host name rules of RFC 1123.
fn domain_form(domain: &str) -> Result<String, EmailError> {
    let refused = || Malformed::new("the part after the @ is not a domain name");
    if domain.contains(['@', '[', ':', '%', '/']) {
        return Err(refused());
    }
    let Ok(url::Host::Domain(domain)) = url::Host::parse(domain) else {
        return Err(refused());
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !domain.split('.').all(label) {
        return Err(refused());
    }
    if !domain.contains('.') && domain != "localhost" {
        return Err(Malformed::new("the domain has no dot"));
    }
    Ok(domain)
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Shows the domain only, because debug output ends up in logs.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress(…@{})", self.domain())
    }
}

text_form!(EmailAddress);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_the_local_part_and_folds_the_domain() {
        let a = EmailAddress::parse("  Ann.Lee+crm@Example.COM ").unwrap();
        assert_eq!(a.as_str(), "Ann.Lee+crm@example.com");
        assert_eq!(a.norm(), "ann.lee+crm@example.com");
        assert_eq!((a.local(), a.domain()), ("Ann.Lee+crm", "example.com"));
    }

    #[test]
    fn international_domains_become_punycode() {
        assert_eq!(
            EmailAddress::parse("a@Bücher.de").unwrap().domain(),
            "xn--bcher-kva.de"
        );
        assert_eq!(
            EmailAddress::parse("a@例え。jp").unwrap().domain(),
            "xn--r8jz45g.jp"
        );
    }

    #[test]
    fn localhost_needs_no_dot() {
        assert_eq!(
            EmailAddress::parse("root@localhost").unwrap().domain(),
            "localhost"
        );
    }

    #[test]
    fn refuses_what_is_not_one_address() {
        let long = format!("a@{}.com", "b".repeat(64));
        let longer = format!("a@{}com", "b.".repeat(130));
        let local = format!("{}@a.com", "a".repeat(65));
        for text in [
            "",
            " ",
            "a",
            "@a.com",
            "a@",
            "a@b",
            "a b@c.com",
            "a@b c.com",
            "a\n@b.com",
            "a\0@b.com",
            "<a@b.com>",
            "Ann <a@b.com>",
            "a@b.com,c@d.com",
            "a@b.com;",
            "a@@b.com",
            "a@b@c.com",
            ".a@b.com",
            "a.@b.com",
            "a..b@c.com",
            "\"a\"@b.com",
            "ä@b.com",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@b.com.",
            "a@.com",
            "a@-b.com",
            "a@b-.com",
            "a@b_c.com",
            "a@b.com:25",
            "a@b%2ecom",
            "a＠b.com",
            "a@b.com\r\nBcc: x@y.z",
            &long,
            &longer,
            &local,
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn reads_and_writes_itself_in_json_and_hides_in_debug() {
        let a: EmailAddress = serde_json::from_str("\"Ann@Example.com\"").unwrap();
        assert_eq!(serde_json::to_string(&a).unwrap(), "\"Ann@example.com\"");
        assert!(!format!("{a:?}").contains("Ann"));
        let error = serde_json::from_str::<EmailAddress>("\"ann\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("needs an @"), "{error}");
    }

    proptest! {
        #[test]
        fn never_panics_and_what_is_accepted_is_accepted_again(text in "\\PC{0,12}@?\\PC{0,12}(\\.[a-z]{2})?") {
            if let Ok(a) = EmailAddress::parse(&text) {
                prop_assert_eq!(&EmailAddress::parse(a.as_str()).unwrap(), &a);
                prop_assert!(a.as_str().is_ascii());
                prop_assert!(a.as_str().parse::<lettre::Address>().is_ok());
            }
        }
    }
}

//! The records by which a receiving side knows that a sender may use its domain: SPF (RFC 7208), DKIM (RFC 6376),
//! DMARC (RFC 7489). Here is what they mean; asking for them is somebody else's work.

/// What records say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// They will do.
    Good(&'static str),
    /// They will not; the text says what to do.
    Bad(&'static str),
}

/// The SPF record among the TXT records of a domain.
pub fn spf(records: &[String]) -> Said {
    let found: Vec<&str> = records
        .iter()
        .map(|r| r.trim())
        .filter(|r| r.to_ascii_lowercase().split_whitespace().next() == Some("v=spf1"))
        .collect();
    match found.as_slice() {
        [] => Said::Bad("no SPF record: publish one that names your mail server"),
        [one] => {
            let terms: Vec<String> = one
                .to_ascii_lowercase()
                .split_whitespace()
                .map(ToOwned::to_owned)
                .collect();
            if terms.iter().any(|t| t == "+all" || t == "all") {
                Said::Bad("the SPF record ends in +all: anybody may send in this name")
            } else if terms.len() == 2 && terms[1] == "-all" {
                Said::Bad("the SPF record says that this domain never sends mail")
            } else {
                Said::Good("one SPF record")
            }
        }
        _ => Said::Bad("several SPF records: receivers then take none; keep one"),
    }
}

/// The DKIM key among the TXT records of `SELECTOR._domainkey.DOMAIN`.
pub fn dkim(records: &[String]) -> Said {
    let key = records.iter().find_map(|record| tag(record, "p"));
    match key {
        None => Said::Bad("no key there: publish the one your mail server signs with"),
        Some(key) if key.is_empty() => Said::Bad("the key was revoked (p= is empty)"),
        Some(_) => Said::Good("the key is there"),
    }
}

/// Whether the DKIM key among those TXT records is that one: its public half in Base64.
pub fn dkim_of(records: &[String], public: &str) -> Said {
    match dkim(records) {
        Said::Bad(_) if records.is_empty() => Said::Bad("no key there: publish the record below"),
        Said::Good(_) => {
            let keys: Vec<String> = records.iter().filter_map(|record| tag(record, "p")).collect();
            match keys.as_slice() {
                [one] if one == public => Said::Good("the key there is the one kith signs with"),
                [_] => {
                    Said::Bad("another key is there than the one kith signs with: publish the record below")
                }
                _ => Said::Bad("several keys are there: receivers may take any; keep one"),
            }
        }
        bad @ Said::Bad(_) => bad,
    }
}

/// The DMARC record among the TXT records of `_dmarc.DOMAIN`.
pub fn dmarc(records: &[String]) -> Said {
    let found: Vec<&String> = records
        .iter()
        .filter(|r| tag(r, "v").is_some_and(|v| v.eq_ignore_ascii_case("DMARC1")))
        .collect();
    match found.as_slice() {
        [] => Said::Bad("no DMARC record: publish at least v=DMARC1; p=none"),
        [one] => match tag(one, "p").map(|p| p.to_ascii_lowercase()).as_deref() {
            Some("none") => Said::Good("policy none: receivers report, and let forgeries through"),
            Some("quarantine") => Said::Good("policy quarantine"),
            Some("reject") => Said::Good("policy reject"),
            _ => Said::Bad("the DMARC record has no policy: p=none, quarantine or reject"),
        },
        _ => Said::Bad("several DMARC records: receivers then take none; keep one"),
    }
}

/// The value of a tag in a list such as `v=DKIM1; p=...`, without white space.
fn tag(record: &str, name: &str) -> Option<String> {
    record
        .split(';')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.chars().filter(|c| !c.is_whitespace()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(records: &[&str]) -> Vec<String> {
        records.iter().map(|r| (*r).to_owned()).collect()
    }

    #[test]
    fn spf_is_one_record_that_is_not_open_to_all() {
        for (records, good) in [
            (&["v=spf1 include:_spf.example.com ~all", "other=1"][..], true),
            (&["v=spf1 mx -all"], true),
            (&["v=spf1 redirect=_spf.example.com"], true),
            (&["v=spf1 -all"], false),
            (&["v=spf1 mx +all"], false),
            (&["v=spf1 mx all"], false),
            (&["v=spf10 mx -all"], false),
            (&["v=spf1 mx -all", "v=spf1 a -all"], false),
            (&[], false),
        ] {
            assert_eq!(matches!(spf(&all(records)), Said::Good(_)), good, "{records:?}");
        }
    }

    #[test]
    fn a_revoked_or_missing_key_is_bad() {
        assert_eq!(
            dkim(&all(&["v=DKIM1; k=rsa; p=MIIB IjAN"])),
            Said::Good("the key is there")
        );
        assert!(matches!(dkim(&all(&["v=DKIM1; p="])), Said::Bad(_)));
        assert!(matches!(dkim(&all(&["sp=1"])), Said::Bad(_)));
        assert!(matches!(dkim(&[]), Said::Bad(_)));
        for (records, good) in [
            (&["v=DKIM1; k=ed25519; p=AB CD"][..], true),
            (&["v=DKIM1; p=ABCE"], false),
            (&["p=ABCD", "p=ABCD"], false),
            (&["v=DKIM1; p="], false),
            (&[], false),
        ] {
            let said = dkim_of(&all(records), "ABCD");
            assert_eq!(matches!(said, Said::Good(_)), good, "{records:?}: {said:?}");
        }
    }

    #[test]
    fn dmarc_states_a_policy_once() {
        assert_eq!(
            dmarc(&all(&["v=DMARC1; p=reject; sp=none"])),
            Said::Good("policy reject")
        );
        assert!(matches!(
            dmarc(&all(&["v=DMARC1; rua=mailto:a@b.example"])),
            Said::Bad(_)
        ));
        assert!(matches!(
            dmarc(&all(&["v=DMARC1; p=none", "v=DMARC1; p=none"])),
            Said::Bad(_)
        ));
        assert!(matches!(dmarc(&all(&["v=spf1 -all"])), Said::Bad(_)));
    }
}

//! Telephone numbers as kith accepts them.

use std::fmt;
use std::str::FromStr;

use phonenumber::{Mode, country};

use super::text::{Malformed, serde_as_text};

/// Texts longer than this are refused unread.
const MAX_TEXT: usize = 64;

/// A valid telephone number in E.164 form, `+` and digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber {
    text: String,
    region: Option<country::Id>,
}

impl PhoneNumber {
    /// The one door. `region` is the ISO 3166 code in whose national form the text may be written; a number with
    /// `+` needs none. Only numbers that the region's numbering plan can have assigned are taken; an extension is
    /// dropped, for E.164 has none.
    pub fn parse(text: &str, region: Option<&str>) -> Result<Self, Malformed> {
        let id = region.map(region_id).transpose()?;
        let text = text.trim();
        // Longer texts are no numbers, and the parser's work grows with the text.
        if text.len() > MAX_TEXT {
            return Err(Malformed::new("the phone number is too long"));
        }
        let number = phonenumber::parse(id, text).map_err(|_| {
            Malformed::new(match region {
                Some(region) => format!("not a phone number of {region} nor one with +"),
                None => "not a phone number: without a region it needs + and the country code".to_owned(),
            })
        })?;
        if !number.is_valid() {
            return Err(Malformed::new("no such phone number can have been assigned"));
        }
        let region = number.country().id();
        Ok(Self {
            text: number.format().mode(Mode::E164).to_string(),
            region,
        })
    }

    /// The number in E.164 form, which is its comparison key too.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The ISO 3166 code of the region that the number belongs to; `None` for numbers of no region (satellite,
    /// international freephone).
    pub fn region(&self) -> Option<&str> {
        self.region.as_ref().map(AsRef::as_ref)
    }
}

fn region_id(region: &str) -> Result<country::Id, Malformed> {
    region
        .to_ascii_uppercase()
        .parse()
        .map_err(|_| Malformed::new(format!("{region:?} is not a region with telephone numbers")))
}

impl FromStr for PhoneNumber {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text, None)
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Shows the region only, because debug output ends up in logs.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({})", self.region().unwrap_or("of no region"))
    }
}

serde_as_text!(PhoneNumber);

#[cfg(test)]
mod tests {
    use super::super::corpora;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn national_and_international_forms_are_one_number() {
        let cn = PhoneNumber::parse("138 0013 8000", Some("cn")).unwrap();
        assert_eq!(cn.as_str(), "+8613800138000");
        assert_eq!(cn.region(), Some("CN"));
        assert_eq!(PhoneNumber::parse("+86 138-0013-8000", None).unwrap(), cn);
        assert_eq!(PhoneNumber::parse("+86 138-0013-8000", Some("US")).unwrap(), cn);
        assert_eq!(
            PhoneNumber::parse("(0)30 901820", Some("DE")).unwrap().as_str(),
            "+4930901820"
        );
    }

    #[test]
    fn refuses_what_cannot_be_called() {
        let long = "1".repeat(65);
        for (text, region) in [
            ("", Some("CN")),
            ("13800138000", None),
            ("+1", None),
            ("+86 12", None),
            ("abc", Some("DE")),
            ("+15550000", None),
            (long.as_str(), Some("DE")),
            ("030 901820", Some("XX")),
        ] {
            assert!(PhoneNumber::parse(text, region).is_err(), "{text:?} {region:?}");
        }
    }

    #[test]
    fn hides_in_debug() {
        let cn = PhoneNumber::parse("+8613800138000", None).unwrap();
        assert_eq!(format!("{cn:?}"), "PhoneNumber(CN)");
        assert_eq!(serde_json::to_string(&cn).unwrap(), "\"+8613800138000\"");
    }

    #[test]
    fn the_numbers_of_245_regions() {
        let Some(text) = corpora::read("phones/numbers.tsv") else {
            return;
        };
        let (mut right, mut wrong) = (0, Vec::new());
        for row in corpora::rows(&text) {
            let got = PhoneNumber::parse(row[2], Some(row[0])).ok();
            if got.as_ref().map_or("", PhoneNumber::as_str) == row[3] {
                right += 1;
            } else {
                wrong.push(format!(
                    "{} {} {} -> {:?}",
                    row[0],
                    row[1],
                    row[2],
                    got.map(|n| n.text)
                ));
            }
        }
        println!("{right} right, wrong: {wrong:#?}");
        assert!(wrong.is_empty(), "{right} right, wrong: {wrong:#?}");
    }

    proptest! {
        #[test]
        fn never_panics_and_what_is_accepted_is_accepted_again(text in "\\PC{0,24}", digits in "\\+?[0-9]{3,15}") {
            for text in [text, digits] {
                if let Ok(number) = PhoneNumber::parse(&text, Some("CN")) {
                    prop_assert_eq!(number.as_str().parse::<PhoneNumber>().unwrap(), number);
                }
            }
        }
    }
}

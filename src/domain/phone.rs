//! Telephone numbers as kith accepts them.

use std::fmt;
use std::str::FromStr;

use phonenumber::metadata::{DATABASE, Descriptor, Descriptors, Metadata};
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
        let known = |number: &phonenumber::PhoneNumber| plan(number).is_some();
        let number = match read(text, id) {
            Ok(number) if known(&number) => number,
            // A national number may begin with the digits of its own country code (Rwanda's 250 123 456).
            first => id
                .and_then(|id| with_country_code(text, id))
                .filter(known)
                .ok_or_else(|| {
                    Malformed::new(match (first, region) {
                        (Ok(_), _) => "no such phone number can have been assigned".to_owned(),
                        (Err(_), Some(region)) => format!("not a phone number of {region} nor one with +"),
                        (Err(_), None) => {
                            "not a phone number: without a region it needs + and the country code".to_owned()
                        }
                    })
                })?,
        };
        let region = plan(&number).and_then(|plan| plan.id().parse().ok());
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

/// The text read in a region. A number written for calls from abroad is read without it: the library would strip
/// the region's own trunk prefix from the foreign number (the 1 of a Chinese mobile for a reader in the US).
fn read(
    text: &str,
    region: Option<country::Id>,
) -> Result<phonenumber::PhoneNumber, phonenumber::ParseError> {
    if text.contains(['+', '\u{ff0b}']) {
        return phonenumber::parse(None, text);
    }
    let number = phonenumber::parse(region, text)?;
    let exit = region.and_then(|region| DATABASE.by_id(region.as_ref())?.international_prefix());
    if let (country::Source::Idd, Some(exit)) = (number.code().source(), exit) {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if let Some(code) = exit.find(&digits).filter(|code| code.start() == 0) {
            return phonenumber::parse(None, format!("+{}", &digits[code.end()..]));
        }
    }
    Ok(number)
}

/// The text read as what follows the country code of a region.
fn with_country_code(text: &str, region: country::Id) -> Option<phonenumber::PhoneNumber> {
    let code = DATABASE.by_id(region.as_ref())?.country_code();
    if text.contains('+') {
        return None;
    }
    phonenumber::parse(None, format!("+{code}{text}")).ok()
}

/// The plan of the region that the number belongs to: one of those sharing its country code, with a range that the
/// whole number fits. (The library's own check is content when the number begins like one of a range, and it loses
/// the leading noughts of Italian numbers.)
fn plan(number: &phonenumber::PhoneNumber) -> Option<&'static Metadata> {
    let national = number.national().to_string();
    let plans = DATABASE.by_code(&number.code().value())?;
    plans.into_iter().find(|plan| {
        let begins = |digits: &str| {
            plan.leading_digits()
                .is_none_or(|p| p.find(digits).is_some_and(|m| m.start() == 0))
        };
        begins(&national) && is_assignable(plan.descriptors(), &national)
    })
}

fn is_assignable(plan: &Descriptors, national: &str) -> bool {
    let kinds = [
        plan.fixed_line(),
        plan.mobile(),
        plan.toll_free(),
        plan.premium_rate(),
        plan.shared_cost(),
        plan.voip(),
        plan.personal_number(),
        plan.pager(),
        plan.uan(),
        plan.voicemail(),
    ];
    plan.general().is_match(national) && kinds.into_iter().flatten().any(|range| fits(range, national))
}

fn fits(range: &Descriptor, national: &str) -> bool {
    if !range.is_match(national) {
        return false;
    }
    let pattern = range.national_number();
    if pattern
        .find(national)
        .is_some_and(|found| found.end() == national.len())
    {
        return true;
    }
    // The first alternative that matched was too short, another one may fit; rare enough to build the pattern anew.
    regex::Regex::new(&format!("(?x)^(?:{})$", pattern.as_str())).is_ok_and(|whole| whole.is_match(national))
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
            PhoneNumber::parse("011 86 138 0013 8000", Some("US")).unwrap(),
            cn
        );
        assert_eq!(PhoneNumber::parse("0086 138 0013 8000", Some("DE")).unwrap(), cn);
        assert_eq!(
            PhoneNumber::parse("+39 02 1234 5678", None).unwrap().region(),
            Some("IT")
        );
        assert_eq!(
            PhoneNumber::parse("030 901820", Some("DE")).unwrap().as_str(),
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

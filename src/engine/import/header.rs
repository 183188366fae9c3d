//! The first line of a file: which columns it has, and where.

use super::kind::Kind;
use super::record::Record;

/// Why a whole file is refused: nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRefusal {
    /// The column it is about; empty when it is about the file.
    pub field: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl FileRefusal {
    pub(super) fn new(field: &str, reason: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }
}

/// The columns of one file.
#[derive(Debug, Clone)]
pub struct Header {
    kind: Kind,
    /// The column names as the file has them, in its order.
    names: Vec<String>,
    /// Columns that are kept as attributes of the contact: name without `attr.`, and position.
    pub attributes: Vec<(String, usize)>,
}

/// The longest attribute name.
const MAX_ATTRIBUTE: usize = 64;
/// What this program puts before the cells of a refused row; ignored when such a file is imported after correction.
pub const REJECTED: [&str; 3] = ["row", "field", "reason"];

impl Header {
    /// Reads the header; names are compared without case and surrounding space.
    pub fn parse(kind: Kind, record: &Record) -> Result<Self, FileRefusal> {
        let mut names: Vec<String> = Vec::with_capacity(record.len());
        let mut attributes = Vec::new();
        for index in 0..record.len() {
            let cell = std::str::from_utf8(record.cell(index).unwrap_or_default())
                .map_err(|_| FileRefusal::new("", "the header is not UTF-8; save the file as CSV UTF-8"))?;
            let cell = cell.trim();
            let name = match cell.get(..5) {
                Some(prefix) if kind.takes_attributes() && prefix.eq_ignore_ascii_case("attr.") => {
                    attributes.push((attribute(&cell[5..])?, index));
                    format!("attr.{}", &cell[5..])
                }
                _ => cell.to_ascii_lowercase(),
            };
            if names.contains(&name) {
                return Err(FileRefusal::new(&name, "the column is there twice"));
            }
            names.push(name);
        }
        let header = Self {
            kind,
            names,
            attributes,
        };
        header.check(record)?;
        Ok(header)
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.names.len()
    }

    /// The column names in the file's order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where a column stands; nowhere when the file does not have it.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// Whether the file has the column.
    pub fn has(&self, name: &str) -> bool {
        self.index(name).is_some()
    }

    /// The name of the column at a position, to say where a problem is.
    pub fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", String::as_str)
    }

    /// Whether the file starts with what this program put before refused rows.
    pub fn was_rejected(&self) -> bool {
        self.names.iter().take(3).eq(REJECTED.iter())
    }

    fn check(&self, record: &Record) -> Result<(), FileRefusal> {
        let skip = if self.was_rejected() { REJECTED.len() } else { 0 };
        let known = self.kind.columns();
        for name in &self.names[skip..] {
            let is_attribute = self.kind.takes_attributes() && name.starts_with("attr.");
            if !known.contains(&name.as_str()) && !is_attribute {
                return Err(FileRefusal::new(name, unknown(name, known, record)));
            }
        }
        for name in self.kind.required() {
            if !self.has(name) {
                let have = self.names.join(", ");
                return Err(FileRefusal::new(
                    name,
                    format!("the column is required; the file has: {have}"),
                ));
            }
        }
        for (name, needs) in self.kind.pairs() {
            if self.has(name) && !self.has(needs) {
                return Err(FileRefusal::new(
                    name,
                    format!("the column says nothing without {needs}"),
                ));
            }
        }
        Ok(())
    }
}

fn attribute(name: &str) -> Result<String, FileRefusal> {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.chars().count() > MAX_ATTRIBUTE || !name.chars().all(plain) {
        let reason = "an attribute is named by 1 to 64 letters, digits, _ and -, as in attr.hobby";
        return Err(FileRefusal::new(&format!("attr.{name}"), reason));
    }
    Ok(name.to_owned())
}

fn unknown(name: &str, known: &[&str], record: &Record) -> String {
    if record.len() == 1 && name.contains([';', '\t', '|']) {
        return "the cells are not separated by commas; save the file as CSV with commas".to_owned();
    }
    if name.is_empty() {
        return "a column has no name".to_owned();
    }
    let near = known
        .iter()
        .map(|k| (strsim::normalized_damerau_levenshtein(name, k), *k))
        .filter(|(score, _)| *score > 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, near)) => format!("unknown column; did you mean {near}?"),
        None => format!("unknown column; known are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Records;
    use super::*;

    fn parse(kind: Kind, text: &str) -> Result<Header, FileRefusal> {
        let mut record = Record::default();
        Records::new(text.as_bytes()).next(&mut record).unwrap();
        Header::parse(kind, &record)
    }

    #[test]
    fn finds_columns_and_attributes_in_any_order_and_case() {
        let header = parse(Kind::Contacts, "Email, EXTERNAL_ID ,attr.Hobby,ATTR.爱好").unwrap();
        assert_eq!(header.index("external_id"), Some(1));
        assert_eq!(header.index("phone"), None);
        assert_eq!(
            header.attributes,
            [("Hobby".to_owned(), 2), ("爱好".to_owned(), 3)]
        );
    }

    #[test]
    fn says_what_is_wrong_and_what_would_be_right() {
        for (kind, text, field, part) in [
            (
                Kind::Contacts,
                "external_id,e-mail",
                "e-mail",
                "did you mean email?",
            ),
            (
                Kind::Contacts,
                "external_id,zodiac_sign",
                "zodiac_sign",
                "known are: external_id, name",
            ),
            (Kind::Contacts, "name,email", "external_id", "required"),
            (Kind::Contacts, "external_id,email,Email", "email", "twice"),
            (
                Kind::Contacts,
                "external_id;email",
                "external_id;email",
                "separated by commas",
            ),
            (Kind::Contacts, "external_id,", "", "no name"),
            (Kind::Contacts, "external_id,attr.a b", "attr.a b", "letters"),
            (
                Kind::Contacts,
                "external_id,birthday_calendar",
                "birthday_calendar",
                "without birthday",
            ),
            (Kind::Owners, "external_id,name,attr.x", "attr.x", "unknown"),
        ] {
            let refusal = parse(kind, text).unwrap_err();
            assert_eq!(refusal.field, field, "{text}");
            assert!(refusal.reason.contains(part), "{text}: {}", refusal.reason);
        }
    }

    #[test]
    fn a_corrected_file_of_refused_rows_is_taken() {
        assert!(
            parse(Kind::Owners, "row,field,reason,external_id,name")
                .unwrap()
                .was_rejected()
        );
        assert!(parse(Kind::Owners, "external_id,name,row").is_err());
    }
}

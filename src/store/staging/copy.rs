//! Rows in the text form of COPY.

use std::fmt::{Display, Write as _};

use sqlx::PgConnection;

/// Rows of one staging table, gathered until they are sent. A row that turns out bad is taken back.
#[derive(Debug, Default)]
pub struct CopyText {
    text: String,
    row_start: usize,
    rows: usize,
}

impl CopyText {
    /// How many whole rows it holds.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Adds a cell of text.
    pub fn text(&mut self, value: Option<&str>) {
        let Some(value) = value else { return self.null() };
        for part in value.split_inclusive(['\\', '\t', '\n', '\r']) {
            let escape = match part.as_bytes().last() {
                Some(b'\\') => "\\\\",
                Some(b'\t') => "\\t",
                Some(b'\n') => "\\n",
                Some(b'\r') => "\\r",
                _ => {
                    self.text.push_str(part);
                    continue;
                }
            };
            self.text.push_str(&part[..part.len() - 1]);
            self.text.push_str(escape);
        }
        self.text.push('\t');
    }

    /// Adds a cell whose written form has no character that COPY reserves: numbers, dates, ids, words of a set.
    pub fn plain(&mut self, value: Option<impl Display>) {
        let Some(value) = value else { return self.null() };
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
        self.text.push('\t');
    }

    /// Adds a cell of bytes.
    pub fn bytea(&mut self, value: Option<&[u8]>) {
        let Some(value) = value else { return self.null() };
        self.text.push_str("\\\\x");
        for byte in value {
            let _ = write!(self.text, "{byte:02x}");
        }
        self.text.push('\t');
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        // The separator behind the last cell becomes the end of the row.
        self.text.pop();
        self.text.push('\n');
        self.row_start = self.text.len();
        self.rows += 1;
    }

    /// Forgets the cells added since the last whole row.
    pub fn drop_row(&mut self) {
        self.text.truncate(self.row_start);
    }

    fn null(&mut self) {
        self.text.push_str("\\N\t");
    }

    /// Sends the rows by a COPY statement.
    pub(super) async fn send(
        &self,
        connection: &mut PgConnection,
        statement: &'static str,
    ) -> sqlx::Result<()> {
        let mut copy = connection.copy_in_raw(statement).await?;
        if let Err(error) = copy.send(self.text.as_bytes()).await {
            copy.abort("the rows could not be sent").await?;
            return Err(error);
        }
        copy.finish().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_characters_nulls_and_rows() {
        let mut copy = CopyText::default();
        copy.plain(Some(7));
        copy.text(Some("a\tb\\c\nd\r"));
        copy.text(None);
        copy.text(Some(""));
        copy.bytea(Some(&[0, 255]));
        copy.end_row();
        copy.plain(Some(8));
        copy.drop_row();
        assert_eq!(copy.text, "7\ta\\tb\\\\c\\nd\\r\t\\N\t\t\\\\x00ff\n");
        assert_eq!(copy.rows(), 1);
    }
}

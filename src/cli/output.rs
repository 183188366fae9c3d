//! One form of tables for every command: aligned for people, CSV or JSON for machines.

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table as Drawn, presets};
use serde::Serialize;

/// How a result is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned, for people
    #[default]
    Table,
    /// One header and one line per row; tables are parted by an empty line
    Csv,
    /// One JSON value
    Json,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// What it shows, over it.
    pub title: String,
    /// Names of the columns; those that hold numbers begin with `#`, which is not shown.
    pub columns: Vec<&'static str>,
    /// As many cells as columns.
    pub rows: Vec<Vec<String>>,
    /// What a reader has to know beside it, each a line below; for people only.
    pub notes: Vec<String>,
}

impl Table {
    /// An empty table. A column of numbers is written `#name` and aligned to the right.
    pub fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|name| name.trim_start_matches('#'))
    }

    fn drawn(&self) -> String {
        let mut drawn = Drawn::new();
        drawn
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(self.names())
            .add_rows(&self.rows);
        for (position, _) in self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, name)| name.starts_with('#'))
        {
            if let Some(column) = drawn.column_mut(position) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        drawn.to_string()
    }

    fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.names())?;
        for row in &self.rows {
            writer.write_record(row)?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}

/// The text of a result: its tables, or the value itself as JSON.
pub fn text(format: Format, tables: &[Table], value: &impl Serialize) -> Result<String> {
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(value)? + "\n"),
        Format::Csv => {
            let parts = tables.iter().map(Table::csv).collect::<Result<Vec<_>>>()?;
            Ok(parts.join("\n"))
        }
        Format::Table => {
            let parts: Vec<String> = tables
                .iter()
                .map(|table| {
                    let notes: Vec<&str> = table
                        .notes
                        .iter()
                        .flat_map(|note| [note.as_str(), "\n"])
                        .collect();
                    let notes = notes.concat();
                    if table.rows.is_empty() {
                        format!("{}: none\n", table.title)
                    } else {
                        format!("{}\n{}\n{notes}", table.title, table.drawn())
                    }
                })
                .collect();
            Ok(parts.join("\n"))
        }
    }
}

/// A whole number with its thousands parted by commas.
pub fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("People", &["name", "#count"]);
        table.rows.push(vec!["Ann, of \"A\"".into(), "1,234".into()]);
        table
    }

    #[test]
    fn csv_is_quoted_where_needed() {
        let text = text(Format::Csv, &[table(), table()], &()).unwrap();
        let one = "name,count\n\"Ann, of \"\"A\"\"\",\"1,234\"\n";
        assert_eq!(text, format!("{one}\n{one}"));
    }

    #[test]
    fn tables_say_when_they_are_empty() {
        let empty = Table::new("People", &["name"]);
        assert_eq!(text(Format::Table, &[empty], &()).unwrap(), "People: none\n");
        assert!(text(Format::Table, &[table()], &()).unwrap().contains("1,234"));
    }

    #[test]
    fn thousands_are_parted() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (-9_956_060, "-9,956,060"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}

//! The other side's words, cut to what an outcome keeps.

/// Most bytes kept.
const LONGEST: usize = 512;

/// `text` on one line without control characters, at most 512 bytes.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<_> = text
        .split(|c: char| c.is_control() || c == ' ')
        .filter(|word| !word.is_empty())
        .collect();
    let mut line = words.join(" ");
    while line.len() > LONGEST {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn control_characters_and_length_are_bounded() {
        assert_eq!(one_line("550 a\r\nb\u{7}  c "), "550 a b c");
        assert!(one_line(&"ü".repeat(1000)).len() <= 512);
    }
}

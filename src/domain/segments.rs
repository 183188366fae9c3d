//! How many segments an SMS text costs (3GPP TS 23.038 and 23.040).

use unicode_segmentation::UnicodeSegmentation;

/// The alphabet in which a text is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The GSM default alphabet of septets; the smaller one, used wherever the whole text fits it.
    Gsm7,
    /// UTF-16 code units.
    Ucs2,
}

impl Encoding {
    /// Text form, as in tables and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// Units that fit a message which is one segment.
    const fn alone(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Units that fit each segment of several, beside the header that joins them.
    const fn joined(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// What a text costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// The alphabet it needs.
    pub encoding: Encoding,
    /// Segments, each of which is paid for; none for an empty text.
    pub count: usize,
    /// Septets or UTF-16 units of the text itself.
    pub units: usize,
    /// Characters as calculators show them: septets in GSM-7, in UCS-2 what a reader takes for one.
    pub characters: usize,
}

/// The GSM default alphabet (TS 23.038, 6.2.1).
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Characters behind the escape septet (TS 23.038, 6.2.1.1): two septets each.
const EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// The septets of a character, or `None` when the GSM alphabet lacks it.
fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) {
        Some(1)
    } else if EXTENDED.contains(c) {
        Some(2)
    } else {
        None
    }
}

/// Counts the segments of a text. A character as a reader sees it (an emoji, a flag, a letter with its accents) is
/// never split over two segments, unless it alone is longer than one.
pub fn segments(text: &str) -> Segments {
    let encoding = if text.chars().all(|c| septets(c).is_some()) {
        Encoding::Gsm7
    } else {
        Encoding::Ucs2
    };
    let width = |cluster: &str| match encoding {
        Encoding::Gsm7 => cluster.chars().filter_map(septets).sum(),
        Encoding::Ucs2 => cluster.encode_utf16().count(),
    };
    let widths: Vec<usize> = text.graphemes(true).map(width).collect();
    let units = widths.iter().sum();
    let characters = if encoding == Encoding::Gsm7 {
        units
    } else {
        widths.len()
    };
    let count = if units <= encoding.alone() {
        usize::from(units > 0)
    } else {
        packed(&widths, encoding.joined())
    };
    Segments {
        encoding,
        count,
        units,
        characters,
    }
}

/// Segments of `room` units that hold the clusters in order.
fn packed(widths: &[usize], room: usize) -> usize {
    let (mut count, mut used) = (1, 0);
    for &width in widths {
        if used > 0 && used + width > room {
            count += 1;
            used = 0;
        }
        used += width;
        // A cluster longer than a segment has to be cut.
        while used > room {
            count += 1;
            used -= room;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::super::corpora;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_51_cases() {
        let Some(text) = corpora::read("sms/segments.json") else {
            return;
        };
        let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(cases.len(), 51);
        let mut wrong = Vec::new();
        for case in &cases {
            let got = segments(case["text"].as_str().unwrap());
            let (name, unit_bits) = match got.encoding {
                Encoding::Gsm7 => ("GSM-7", 7),
                Encoding::Ucs2 => ("UCS-2", 16),
            };
            let header = if got.count > 1 { 48 * got.count } else { 0 };
            let expected = (
                case["encoding"].as_str().unwrap(),
                case["segments"].as_u64().unwrap() as usize,
                case["message_bits"].as_u64().unwrap() as usize,
                case["characters"].as_u64().unwrap() as usize,
            );
            let result = (name, got.count, got.units * unit_bits, got.characters);
            let total = case["total_bits"].as_u64().unwrap() as usize;
            if result != expected || got.units * unit_bits + header != total {
                wrong.push(format!("{}: {result:?} instead of {expected:?}", case["case"]));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn the_edges() {
        let count = |text: &str| segments(text).count;
        assert_eq!(count(""), 0);
        assert_eq!(
            (
                count(&"a".repeat(160)),
                count(&"a".repeat(161)),
                count(&"a".repeat(307))
            ),
            (1, 2, 3)
        );
        assert_eq!(
            (
                count(&"好".repeat(70)),
                count(&"好".repeat(71)),
                count(&"好".repeat(135))
            ),
            (1, 2, 3)
        );
        // an escaped character does not end a segment with its escape
        assert_eq!(count(&format!("{}€{}", "a".repeat(152), "a".repeat(152))), 3);
        // one character of 201 units needs three segments whatever we wish
        let cluster = format!("a{}", "\u{301}".repeat(200));
        assert_eq!((segments(&cluster).characters, count(&cluster)), (1, 3));
    }

    #[test]
    fn the_alphabet_has_its_128_places() {
        // the escape itself is the place that is not a character
        assert_eq!(BASIC.chars().count() + 1, 128);
    }

    proptest! {
        #[test]
        fn segments_hold_their_text_and_grow_with_it(text in "\\PC{0,200}", more in "[a-z€好]{0,9}") {
            let got = segments(&text);
            let room = if got.count > 1 { got.encoding.joined() } else { got.encoding.alone() };
            prop_assert!(got.units <= got.count * room);
            let longer = segments(&format!("{text} {more}"));
            prop_assert!(longer.count >= got.count);
        }
    }
}

//! Words that mean something to the machinery of SMS: stop, start, help.

/// What a text message asks for by keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keyword {
    /// Write to this number no more.
    Stop,
    /// Write to it again. Only an exact keyword counts, for it undoes an opt-out.
    Start,
    /// Who are you?
    Help,
}

/// Opt-out words after which any text still means stop ("STOP PLEASE").
const STOP_ANYWAY: &[&str] = &[
    "STOP",
    "STOPALL",
    "UNSUBSCRIBE",
    "UNSUB",
    "OPTOUT",
    "OPT-OUT",
    "REMOVE",
    "ARRET",
    "ARRÊT",
    "ARRETE",
    "ARRETT",
    "STOPP",
    "退订",
    "退訂",
    "拒收",
    "取消订阅",
    "取消訂閱",
];
/// Opt-out words that begin ordinary sentences too ("END of March", "CANCEL our meeting"): alone, or with nothing but
/// the words of [`ABOUT_MESSAGES`] behind them.
const STOP_ALONE: &[&str] = &[
    "END", "QUIT", "CANCEL", "REVOKE", "TD", "取消", "退出", "BAJA", "ALTO", "PARAR", "ABMELDEN",
];
/// Single letters are opt-out words where operators print them into marketing texts (China: "拒收请回复R").
const STOP_IN_CHINA: &[&str] = &["T", "N", "R"];
const START: &[&str] = &["START", "UNSTOP", "SUBSCRIBE", "恢复订阅", "恢復訂閱"];
const HELP: &[&str] = &["HELP", "INFO", "帮助", "幫助"];

/// What may stand behind an ambiguous opt-out word.
const ABOUT_MESSAGES: &[&str] = &[
    "PLEASE",
    "PLS",
    "NOW",
    "ALL",
    "THIS",
    "THESE",
    "THE",
    "MY",
    "IT",
    "SMS",
    "TEXT",
    "TEXTS",
    "TEXTING",
    "MESSAGE",
    "MESSAGES",
    "MESSAGING",
    "SUBSCRIPTION",
    "THANKS",
    "THX",
    "ME",
    "PROMO",
    "PROMOS",
    "ADS",
];
/// "Stop by", "stop in": an invitation, not an opt-out.
const VISITS: &[&str] = &["BY", "IN", "OVER"];
/// Chinese opt-out words inside a sentence without spaces ("请帮我退订吧").
const STOP_WITHIN: &[&str] = &[
    "退订",
    "退訂",
    "拒收",
    "取消订阅",
    "取消訂閱",
    "不要再发",
    "别再发",
    "不要再發",
    "別再發",
];
/// Before those words they mean the contrary.
const DENIALS: &[&str] = &["不", "没", "沒", "没有", "沒有", "未"];
/// A sentence longer than this talks about something.
const SENTENCE: usize = 16;

/// The keyword in an inbound text, sent from a number of `region` (ISO 3166). Case, full-width forms and surrounding
/// marks do not matter. A bare `YES` or `N` is an answer to whatever was asked: `YES` is never a keyword here, and `T`,
/// `N`, `R` are opt-outs from Chinese numbers only, where the carriers define them so.
pub fn keyword(text: &str, region: Option<&str>) -> Option<Keyword> {
    let folded: String = text.chars().map(half_width).collect::<String>().to_uppercase();
    let words: Vec<&str> = folded
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .collect();
    let (first, rest) = words.split_first()?;
    let any = |list: &[&str], word: &str| list.contains(&word);
    if any(STOP_ANYWAY, first) && !rest.first().is_some_and(|next| any(VISITS, next)) {
        return Some(Keyword::Stop);
    }
    if *first == "OPT" && rest.first() == Some(&"OUT") {
        return Some(Keyword::Stop);
    }
    if any(STOP_ALONE, first) && rest.iter().all(|word| any(ABOUT_MESSAGES, word)) {
        return Some(Keyword::Stop);
    }
    let sentence = words.concat();
    if sentence.chars().count() <= SENTENCE && STOP_WITHIN.iter().any(|stop| wants(&sentence, stop)) {
        return Some(Keyword::Stop);
    }
    if !rest.is_empty() {
        return None;
    }
    match *first {
        letter if region == Some("CN") && any(STOP_IN_CHINA, letter) => Some(Keyword::Stop),
        word if any(START, word) => Some(Keyword::Start),
        word if any(HELP, word) => Some(Keyword::Help),
        _ => None,
    }
}

/// Whether a sentence holds the words and does not deny them ("不退订", "没有退订").
fn wants(sentence: &str, stop: &str) -> bool {
    sentence
        .find(stop)
        .is_some_and(|at| !DENIALS.iter().any(|denial| sentence[..at].ends_with(denial)))
}

/// Full-width letters, digits and marks as their ASCII twins.
fn half_width(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::super::corpora;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vendors_tables() {
        let Some(text) = corpora::read("sms/optout_keywords.tsv") else {
            return;
        };
        let mut count = 0;
        for row in corpora::rows(&text) {
            let expected = match row[2] {
                // an answer more often than an opt-in: an outreach program asks for the exact word START
                _ if row[1] == "YES" => None,
                "opt_out" => Some(Keyword::Stop),
                "opt_in" => Some(Keyword::Start),
                "help" => Some(Keyword::Help),
                other => panic!("{other}"),
            };
            let region = if row[0].ends_with("_cn") {
                Some("CN")
            } else {
                Some("US")
            };
            for text in [
                row[1].to_owned(),
                row[1].to_lowercase(),
                format!(" {}. ", row[1]),
                format!("「{}」", row[1]),
            ] {
                assert_eq!(keyword(&text, region), expected, "{text} of {}", row[0]);
            }
            count += 1;
        }
        assert_eq!(count, 65);
    }

    #[test]
    fn phrases_that_begin_with_the_word() {
        for text in [
            "STOP PLEASE",
            "stop texting me!",
            "Stop\n\nSent from my phone",
            "unsubscribe me",
            "Please stop? no: STOP",
            "opt out",
            "Cancel all texts",
            "END SMS",
            "ＳＴＯＰ",
            "ｔｄ",
            "退订",
            "TD退订",
            "回复TD退订",
            "请帮我退订吧",
            "请不要再发了！",
            "拒收。",
            "取消",
            "“STOP”",
            "STOP!!!",
        ] {
            let expected = if text.starts_with("Please") {
                None
            } else {
                Some(Keyword::Stop)
            };
            assert_eq!(keyword(text, Some("CN")), expected, "{text:?}");
        }
    }

    #[test]
    fn ordinary_sentences_are_not_keywords() {
        for text in [
            "",
            "...",
            "yes",
            "no",
            "Stop by on Monday",
            "Cancel our meeting on Friday please",
            "End of March suits us",
            "help me find a date",
            "start on Monday",
            "info@ please",
            "我不退订",
            "没有退订",
            "N/A",
            "T-shirt",
            "我们上次说的那个退订流程在新版本里应该怎么用",
            "unstoppable",
        ] {
            assert_eq!(keyword(text, Some("CN")), None, "{text:?}");
        }
    }

    #[test]
    fn single_letters_are_chinese() {
        for text in ["T", "n", "Ｒ", " r。"] {
            assert_eq!(keyword(text, Some("CN")), Some(Keyword::Stop), "{text:?}");
            assert_eq!(keyword(text, Some("US")), None);
            assert_eq!(keyword(text, None), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_stop_wins_in_any_dress(before in "[ .!\"(“\n]{0,4}", after in "[ .!\")”\n]{0,4}", any in "\\PC{0,30}") {
            keyword(&any, Some("CN"));
            prop_assert_eq!(keyword(&format!("{before}Stop{after}"), None), Some(Keyword::Stop));
        }
    }
}

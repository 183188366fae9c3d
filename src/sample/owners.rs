//! The twelve reps.

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;

use super::rows::OwnerRow;

/// Name, the words of it for an address, zone, phone, line under the name.
const REPS: [(&str, &str, Tz, &str, &str); 12] = [
    (
        "李明华",
        "li.minghua",
        Tz::Asia__Shanghai,
        "+8613100009901",
        "客户顾问",
    ),
    (
        "张雨欣",
        "zhang.yuxin",
        Tz::Asia__Shanghai,
        "+8613100009902",
        "客户顾问",
    ),
    (
        "陈志峰",
        "chen.zhifeng",
        Tz::Asia__Shanghai,
        "+8613100009903",
        "客户顾问",
    ),
    (
        "王思宁",
        "wang.sining",
        Tz::Asia__Shanghai,
        "+8613100009904",
        "大客户经理",
    ),
    (
        "赵海涛",
        "zhao.haitao",
        Tz::Asia__Shanghai,
        "+8613100009905",
        "客户顾问",
    ),
    (
        "周慧",
        "zhou.hui",
        Tz::Asia__Shanghai,
        "+8613100009906",
        "客户顾问",
    ),
    (
        "何佳琳",
        "he.jialin",
        Tz::Asia__Hong_Kong,
        "+85251239907",
        "客戶顧問",
    ),
    (
        "林文傑",
        "lin.wenjie",
        Tz::Asia__Taipei,
        "+886900009908",
        "客戶顧問",
    ),
    (
        "Tan Weiling",
        "tan.weiling",
        Tz::Asia__Singapore,
        "+6581239909",
        "Customer advisor",
    ),
    (
        "Carol Mason",
        "carol.mason",
        Tz::America__Los_Angeles,
        "+14155550199",
        "Customer advisor",
    ),
    (
        "Katrin Vogel",
        "katrin.vogel",
        Tz::Europe__Berlin,
        "+4917604069099",
        "Kundenberaterin",
    ),
    (
        "Henry Shaw",
        "henry.shaw",
        Tz::Europe__London,
        "+442079460999",
        "Customer advisor",
    ),
];

/// The reps as they stand at the start: the third is on leave, and the second stands in.
pub(super) fn roster(start: NaiveDate) -> Vec<OwnerRow> {
    REPS.iter()
        .enumerate()
        .map(|(place, (name, address, timezone, phone, title))| {
            let away = place == 2;
            OwnerRow {
                external_id: format!("own-{:02}", place + 1),
                name: (*name).to_owned(),
                email: format!("{address}@sales.example"),
                phone: (*phone).to_owned(),
                timezone: *timezone,
                from_email: format!("{address}@sales.example"),
                signature: format!("{name}, {title}"),
                deputy: away.then(|| "own-02".to_owned()),
                away_from: away.then(|| start - Days::new(3)),
                away_until: away.then(|| start + Days::new(18)),
            }
        })
        .collect()
}

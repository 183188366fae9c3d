//! A story in Simplified Chinese.

mod vocabulary;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Teller, minute, occurrence, quoted, short};
use crate::domain::assess::Assessment;
use crate::domain::evidence::Source;
use crate::domain::factor::{Factor, Setting};
use crate::domain::grade::Grade;
use crate::domain::known::Factors;
use crate::store::story::{Cause, Coming, Fact, LeadRow};
use vocabulary::{channel_name, end_words, event, factor_name, reason_words, setting_words, standing_name};

/// Simplified Chinese.
pub struct Chinese;

impl Teller for Chinese {
    fn recorded(&self, external_ids: &str) -> String {
        format!("建档：{external_ids}。")
    }

    fn fact(&self, at: DateTime<Utc>, fact: &Fact, zone: Tz) -> String {
        match fact {
            Fact::Entered {
                cadence,
                why,
                key,
                control,
                lead,
            } => {
                let lead = bracketed("线索 ", lead.as_deref());
                let held = if *control {
                    "，作为对照组，不发送任何消息"
                } else {
                    ""
                };
                let occurrence = occurrence(key, at).map_or(String::new(), |key| format!("，本次为 {key}"));
                format!(
                    "进入节奏 {cadence}{lead}{held}：{}{occurrence}。",
                    entry_words(why)
                )
            }
            Fact::Left {
                cadence,
                state,
                reason,
            } => left(cadence, state, reason.as_deref()),
            Fact::Decided {
                cadence,
                step,
                channel,
                verdict,
                reason,
                until,
            } => {
                let what = touch(channel.as_deref(), cadence.as_deref(), step.as_deref());
                let why = reason_words(reason);
                match (verdict.as_str(), until) {
                    ("hold", Some(until)) => format!("暂缓 {what}：{why}。{} 再看。", minute(*until, zone)),
                    ("hold", None) => format!("暂缓 {what}：{why}。"),
                    _ => format!("未发送 {what}：{why}。"),
                }
            }
            Fact::Dropped {
                cadence,
                step,
                channel,
                state,
                reason,
            } => {
                let what = touch(Some(channel), Some(cadence), Some(step));
                let why = reason
                    .as_deref()
                    .map_or_else(|| end_words(state).to_owned(), reason_words);
                format!("未发送 {what}：{why}。")
            }
            Fact::Message { .. } => message(fact),
            Fact::Event {
                event_type,
                human,
                source,
                data,
                cadence,
                step,
                late,
            } => {
                let what = event(event_type, *human, data);
                let about = cadence.as_ref().map_or(String::new(), |cadence| {
                    format!("，针对 {cadence}/{}", step.as_deref().unwrap_or("?"))
                });
                let origin = match (source.as_str(), late) {
                    ("kith" | "link" | "public", _) => String::new(),
                    (source, true) => format!("（来自 {source}，迟到）"),
                    (source, false) => format!("（来自 {source}）"),
                };
                format!("{what}{about}{origin}。")
            }
            Fact::Graded { .. } => graded(fact, zone),
            Fact::Stood { before, after } => {
                format!("客户由{}变为{}。", standing_name(before), standing_name(after))
            }
            Fact::Lost { tier } => {
                let tier = bracketed("", tier.as_deref().map(standing_name));
                format!("客户{tier}视为流失：太久没有购买。")
            }
            Fact::WonBack { tier } => {
                format!(
                    "客户{}回来了：已赢回。",
                    bracketed("", tier.as_deref().map(standing_name))
                )
            }
            Fact::Purchase {
                amount,
                currency,
                product,
                own,
            } => {
                let who = if *own { "购买" } else { "客户购买" };
                let what = product
                    .as_ref()
                    .map_or(String::new(), |product| format!(" {product}"));
                format!("{who}{what}，{} {currency}。", amount.normalize())
            }
            Fact::Task {
                title,
                about,
                owner,
                due,
            } => {
                let whose = owner
                    .as_ref()
                    .map_or("尚无负责人".to_owned(), |owner| format!("交给 {owner}"));
                let service = if about == "service" { "，服务" } else { "" };
                format!("任务（{whose}{service}）：{title}。截止 {}。", minute(*due, zone))
            }
            Fact::TaskDone { title, outcome, by } => {
                let by = bracketed("由 ", by.as_deref());
                let outcome = outcome
                    .as_ref()
                    .map_or(String::new(), |outcome| format!("，结果：{outcome}"));
                format!("任务已关闭{by}：{title}{outcome}。")
            }
            Fact::Grievance { text, own } => {
                let who = if *own {
                    "提出投诉"
                } else {
                    "对方的同事提出投诉"
                };
                format!("{who}{}。解决之前不发营销消息。", quoted(text.as_deref()))
            }
            Fact::GrievanceClosed { by } => format!("投诉已解决{}。", bracketed("由 ", by.as_deref())),
            Fact::Consent {
                channel,
                granted,
                basis,
                source,
            } => {
                let verb = if *granted { "同意接收" } else { "拒绝接收" };
                let (channel, basis) = (channel_name(channel), reason_words(basis));
                format!("{verb}{channel}（{basis}，来自 {source}）。")
            }
        }
    }

    fn coming(&self, one: &Coming, zone: Tz) -> String {
        let Coming { cadence, step, .. } = one;
        if let (Some(channel), Some(_)) = (&one.channel, one.due_at) {
            let what = touch(Some(channel), Some(cadence), Some(step));
            let held = one
                .held
                .as_deref()
                .map_or(String::new(), |why| format!("，暂缓：{}", reason_words(why)));
            let last = one
                .expires_at
                .map_or(String::new(), |at| format!("；最迟 {}", minute(at, zone)));
            return format!("{what} 到期{held}{last}。");
        }
        match one.state.as_str() {
            "control" => format!("{cadence} 走过 {step}，不发送（对照组）。"),
            _ if one.touch_state.is_some() => format!("{cadence} 在 {step} 之后继续。"),
            _ => format!("{cadence}/{step} 到期。"),
        }
    }

    fn reason(&self, found: &Assessment) -> String {
        let text = match found.asserted_by() {
            Some(Source::Import(name)) => format!("由导入 {name} 给定"),
            Some(Source::Owner(name)) => format!("由负责人 {name} 给定"),
            Some(Source::Rule(name)) => format!("由规则 {name} 给定"),
            None if found.grade.is_none() => "没有记录任何因素".to_owned(),
            None => listed(found.decisive()),
        };
        match found.grade.and_then(Grade::next_better) {
            Some(next) if !found.missing.is_empty() => {
                let names: Vec<_> = found.missing.iter().map(|f| factor_name(f.as_str())).collect();
                format!("{text}；要到 {next} 还差：{}", names.join("、"))
            }
            _ => text,
        }
    }

    fn ended(&self, lead: &LeadRow) -> Option<String> {
        match (&lead.not_fit, lead.closed_at) {
            (Some(why), _) => Some(format!("已放弃：{why}")),
            (None, Some(at)) => {
                let how = lead.outcome.as_deref().map_or("结束", end_words);
                Some(format!("{} {how}", at.date_naive()))
            }
            (None, None) => None,
        }
    }
}

fn touch(channel: Option<&str>, cadence: Option<&str>, step: Option<&str>) -> String {
    let name = match (cadence, step) {
        (Some(cadence), Some(step)) => format!("{cadence}/{step}"),
        _ => "一次触达".to_owned(),
    };
    format!("{name}{}", bracketed("", channel.map(channel_name)))
}

fn message(fact: &Fact) -> String {
    let Fact::Message {
        channel,
        cadence,
        step,
        template,
        sender,
        address,
        subject,
        segments,
        outcome,
        reply,
        tries,
    } = fact
    else {
        return String::new();
    };
    let origin = match (cadence, step) {
        (Some(cadence), Some(step)) => format!("{cadence}/{step}"),
        _ => format!("{template}，手工发送"),
    };
    let what = match channel.as_str() {
        "email" => format!("邮件{} 发往 {address}", quoted(subject.as_deref())),
        "sms" => format!("短信发往 {address}，共 {} 段", segments.unwrap_or(1)),
        _ => format!("任务{}", quoted(subject.as_deref())),
    };
    let said = reply.as_deref().map(short);
    let said = bracketed("", said.as_deref());
    let tries = if *tries > 1 {
        format!("，共尝试 {tries} 次")
    } else {
        String::new()
    };
    let end = match (outcome.as_str(), channel.as_str()) {
        ("accepted", "task") => "已交给负责人".to_owned(),
        ("accepted", _) => format!("{sender} 已接受{said}"),
        ("refused", _) => format!("被 {sender} 拒绝{said}"),
        ("uncertain", _) => format!("不知是否送达{said}"),
        ("deferred", _) => format!("推迟{said}"),
        (other, _) => format!("{}{said}", end_words(other)),
    };
    format!("{what}（{origin}）：{end}{tries}。")
}

fn graded(fact: &Fact, zone: Tz) -> String {
    let Fact::Graded {
        lead,
        before,
        after,
        reason,
        corrected,
        factors,
        events,
    } = fact
    else {
        return String::new();
    };
    let name = |grade: &Option<String>| grade.clone().unwrap_or_else(|| "未评级".to_owned());
    let because = match (reason.as_str(), events.is_empty()) {
        ("asserted", true) => "由外部给定".to_owned(),
        ("time", _) => "因为时间推移".to_owned(),
        (_, true) => "依据所记录的情况".to_owned(),
        (_, false) => {
            let causes: Vec<String> = events.iter().map(|cause| caused(cause, zone)).collect();
            format!("起因是{}", causes.join("、"))
        }
    };
    let corrected = if *corrected {
        "迟到的消息纠正了先前的判断。"
    } else {
        ""
    };
    let known = serde_json::from_value::<Factors>(factors.clone()).unwrap_or_default();
    let known = listed(known.iter().map(|(factor, known)| (factor, &known.setting)));
    let known = if known.is_empty() {
        known
    } else {
        format!("已知：{known}。")
    };
    format!(
        "线索 {lead} 由 {} 变为 {}，{because}。{corrected}{known}",
        name(before),
        name(after)
    )
}

fn caused(cause: &Cause, zone: Tz) -> String {
    let what = event(&cause.event_type, true, &cause.data);
    let who = match (&cause.who, cause.own) {
        (Some(who), Some(false) | None) => format!("{who}："),
        _ => String::new(),
    };
    format!(" {} 的“{who}{what}”", minute(cause.at, zone))
}

/// Factors with their values.
fn listed<'a>(factors: impl Iterator<Item = (Factor, &'a Setting)>) -> String {
    let said: Vec<String> = factors
        .map(|(factor, setting)| {
            format!(
                "{}：{}",
                factor_name(factor.as_str()),
                setting_words(&setting.to_string())
            )
        })
        .collect();
    said.join("，")
}

fn left(cadence: &str, state: &str, reason: Option<&str>) -> String {
    match (state, reason) {
        ("finished", Some("goal")) => format!("{cadence} 达到目标。"),
        ("finished", _) => format!("{cadence} 已走完。"),
        (_, Some("replied")) => format!("{cadence} 停止：对方已回复。"),
        (_, Some("grade")) => format!("{cadence} 停止：线索的评级变了。"),
        (_, Some("exit")) => format!("{cadence} 停止：退出条件已满足。"),
        (_, Some(reason)) => format!("{cadence} 停止：{}。", reason_words(reason)),
        (_, None) => format!("{cadence} 停止。"),
    }
}

fn entry_words(why: &str) -> String {
    match why {
        "grade" => "线索的评级正合此节奏".to_owned(),
        "audience" => "属于它的受众".to_owned(),
        "birthday" => "生日将至".to_owned(),
        other => format!("由于{}", reason_words(other)),
    }
}

fn bracketed(before: &str, text: Option<&str>) -> String {
    text.map_or(String::new(), |text| format!("（{before}{text}）"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::event::EventType;

    /// The words of the gate.
    const REASONS: &str = "expired opted-out spam-report address-bad suppressed no-address no-consent prefers-phone not-fit
        lead-closed merged ended hold-out brake grievance leave-to-me human-contact quiet-hours holiday colleague cap rehearsal
        deferred render no-sender sender-paused";

    fn sentence(fact: Value) -> String {
        let fact: Fact = serde_json::from_value(fact).unwrap();
        let at = "2026-11-20T10:00:00Z".parse().unwrap();
        Chinese.fact(at, &fact, chrono_tz::Asia::Shanghai)
    }

    #[test]
    fn a_hold_and_a_grade_read_as_sentences() {
        assert_eq!(
            sentence(json!({
                "kind": "decided", "cadence": "b-to-a", "step": "hello", "channel": "email", "verdict": "hold",
                "reason": "quiet-hours", "until": "2026-11-21T00:30:00+00:00"
            })),
            "暂缓 b-to-a/hello（邮件）：不在发送时段内。2026-11-21 08:30 再看。"
        );
        assert_eq!(
            sentence(json!({
                "kind": "graded", "lead": "l-1", "before": "B", "after": "A", "reason": "evidence", "corrected": false,
                "factors": {"known": {}}, "events": [
                    {"type": "replied", "at": "2026-11-20T09:30:00Z", "who": "博", "own": false, "data": {"intent": "price"}}
                ]
            })),
            "线索 l-1 由 B 变为 A，起因是 2026-11-20 17:30 的“博：回复，意思是：询问价格”。"
        );
    }

    /// With data in Chinese nothing in the sentences is English.
    #[test]
    fn every_kind_of_fact_is_told_in_chinese() {
        let mut facts = vec![
            json!({"kind": "entered", "cadence": "甲", "why": "audience", "key": "2027", "control": true, "lead": "乙"}),
            json!({"kind": "entered", "cadence": "甲", "why": "opted_in", "key": "once", "control": false, "lead": null}),
            json!({"kind": "left", "cadence": "甲", "state": "finished", "reason": "goal"}),
            json!({"kind": "left", "cadence": "甲", "state": "stopped", "reason": "step-gone"}),
            json!({"kind": "dropped", "cadence": "甲", "step": "乙", "channel": "sms", "state": "skipped", "reason": null}),
            json!({"kind": "stood", "before": "small", "after": "normal"}),
            json!({"kind": "lost", "tier": "key"}),
            json!({"kind": "won_back", "tier": null}),
            json!({"kind": "purchase", "amount": "1", "currency": "元", "product": "甲", "own": false}),
            json!({"kind": "task", "title": "甲", "about": "service", "owner": null, "due": "2026-11-20T10:00:00Z"}),
            json!({"kind": "task_done", "title": "甲", "outcome": "乙", "by": "丙"}),
            json!({"kind": "grievance", "text": "甲", "own": false}),
            json!({"kind": "grievance_closed", "by": "丙"}),
            json!({"kind": "consent", "channel": "email", "granted": true, "basis": "opted-in", "source": "甲"}),
        ];
        for (channel, outcome) in [
            ("email", "accepted"),
            ("sms", "refused"),
            ("task", "accepted"),
            ("sms", "uncertain"),
        ] {
            facts.push(json!({
                "kind": "message", "channel": channel, "cadence": null, "step": null, "template": "甲", "sender": "乙",
                "address": "丙", "subject": "丁", "segments": 2, "outcome": outcome, "reply": "戊", "tries": 3
            }));
        }
        for human in [true, false] {
            facts.extend(EventType::ALL.map(|kind| {
                json!({
                    "kind": "event", "type": kind.as_str(), "human": human, "source": "甲", "cadence": "乙", "step": "丙",
                    "late": human, "data": {"text": "丁", "intent": "not_now", "tag": "戊", "by": "己", "outcome": "庚"}
                })
            }));
        }
        facts.extend(REASONS.split_whitespace().map(|reason| {
            json!({"kind": "decided", "cadence": null, "step": null, "channel": "task", "verdict": "skip",
                   "reason": reason, "until": null})
        }));
        for fact in facts {
            let text = sentence(fact.clone());
            assert!(!text.chars().any(|c| c.is_ascii_alphabetic()), "{fact}\n{text}");
        }
        for factor in Factor::ALL {
            assert_ne!(factor_name(factor.as_str()), factor.as_str());
        }
    }
}

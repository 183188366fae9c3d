//! Stored words in Chinese.

use serde_json::Value;

use super::super::{quoted, short};

/// An event in words, without a full stop.
pub fn event(event_type: &str, human: bool, data: &Value) -> String {
    let get = |key: &str| data.get(key).and_then(Value::as_str);
    let said = quoted(get("text"));
    match event_type {
        "delivered" => "消息已送达".to_owned(),
        "deferred" => format!("对方服务器要求稍后再试{said}"),
        "bounced" => format!(
            "消息被退回（{}）{said}",
            bounce_words(get("class").unwrap_or("unknown"))
        ),
        "spam_report" => "举报了垃圾邮件".to_owned(),
        "opened" if human => "打开了邮件".to_owned(),
        "opened" => "程序打开了邮件".to_owned(),
        "clicked" => {
            let who = if human { "点击了" } else { "程序访问了" };
            match (get("tag"), get("target").or(get("url"))) {
                (Some(tag), _) => format!("{who}链接 {tag}"),
                (None, Some(target)) => format!("{who}链接 {}", short(target)),
                (None, None) => format!("{who}一个链接"),
            }
        }
        "replied" => {
            let intent = get("intent").map_or(String::new(), |intent| {
                format!("，意思是：{}", intent_words(intent))
            });
            format!("回复{said}{intent}")
        }
        "auto_replied" => format!("自动回复{said}"),
        "opted_out" => "退订".to_owned(),
        "opted_in" => "要求重新接收消息".to_owned(),
        "form" => {
            let name = get("form").or(get("tag"));
            let name = name.map_or(String::new(), |name| format!("（{}）", short(name)));
            format!("填写了表单{name}{said}")
        }
        "meeting" => format!("约定会面{said}"),
        "quote" => format!("询价或报价{said}"),
        "purchase" => "购买".to_owned(),
        "call" | "visit" | "chat" | "note" => {
            let what = match event_type {
                "call" => "同事打了电话",
                "visit" => "同事上门拜访",
                "chat" => "同事与对方聊天",
                _ => "同事备注",
            };
            let by = get("by").map_or(String::new(), |by| format!(" [{by}]"));
            let outcome =
                get("outcome").map_or(String::new(), |outcome| format!("；结果：{}", short(outcome)));
            format!("{what}{by}{said}{outcome}")
        }
        other => format!("{other}{said}"),
    }
}

/// A stored reason in words. One of another system stays as it is.
pub fn reason_words(word: &str) -> String {
    match word {
        "expired" => "已过了发送的时候",
        "opted-out" | "opted_out" => "已退订",
        "opted-in" | "opted_in" => "本人要求",
        "spam-report" | "spam_report" => "举报了垃圾邮件",
        "address-bad" => "该地址收不到消息",
        "suppressed" | "operator" => "该地址已由操作员停用",
        "erased" => "应本人要求已删除",
        "no-address" => "没有该渠道的地址",
        "no-consent" => "没有该渠道的许可",
        "prefers-phone" => "希望电话联系，不愿收消息",
        "not-fit" => "线索已放弃",
        "lead-closed" => "线索已结束",
        "merged" => "记录已并入另一条",
        "ended" => "节奏已结束",
        "hold-out" => "作为对照组不发送",
        "brake" => "刹车已拉下",
        "grievance" => "有投诉尚未解决",
        "leave-to-me" => "负责人要求由他自己跟进",
        "human-contact" => "同事刚与对方联系过",
        "quiet-hours" => "不在发送时段内",
        "holiday" => "对方所在地放假",
        "colleague" => "当天已写给对方的同事",
        "cap" => "近期消息已够多",
        "rehearsal" => "演练模式，地址不在白名单上",
        "deferred" => "对方服务器要求稍后再试",
        "render" => "模板无法填写",
        "sender-paused" => "发送方被收件服务器拦截，暂停一段时间",
        "pace" => "该发送通道暂时已达速率上限",
        "sender-down" => "发送方连续失败，暂停使用",
        "no-sender" => "该渠道没有发送方",
        "cadence-gone" => "节奏已不存在",
        "step-gone" => "步骤已不存在",
        "import" | "imported" => "导入",
        other => return other.replace(['-', '_'], " "),
    }
    .to_owned()
}

/// What a reply wants.
fn intent_words(intent: &str) -> &str {
    match intent {
        "interested" => "有兴趣",
        "meeting" => "想约见或看演示",
        "price" => "询问价格",
        "comparing" => "正在比较供应商",
        "waiting" => "在等一件事先定下来",
        "not_now" => "现在不考虑",
        "competitor" => "已选别家",
        "wrong_person" => "找错了人",
        "grievance" => "投诉",
        "opt_out" => "不要再发",
        "thanks" => "致谢",
        "other" => "其他",
        other => other,
    }
}

fn bounce_words(class: &str) -> &str {
    match class {
        "hard" => "永久",
        "soft" => "暂时",
        "blocked" => "被拦截",
        "unknown" => "原因不明",
        other => other,
    }
}

/// A channel in words.
pub fn channel_name(channel: &str) -> &str {
    match channel {
        "email" => "邮件",
        "sms" => "短信",
        "task" => "任务",
        other => other,
    }
}

/// Where a customer stands.
pub fn standing_name(standing: &str) -> &str {
    match standing {
        "vip" => "VIP",
        "key" => "主要",
        "normal" => "普通",
        "small" => "小",
        "inactive" => "非活跃",
        "prospect" => "潜在",
        "suspect" => "疑似",
        other => other,
    }
}

/// How a lead ended, or a touch without a message.
pub fn end_words(state: &str) -> &str {
    match state {
        "won" => "赢单",
        "lost" => "丢单",
        "skipped" => "已跳过",
        "cancelled" | "canceled" => "已取消",
        "withdrawn" => "已撤回",
        other => other,
    }
}

/// A factor of the grade.
pub fn factor_name(factor: &str) -> &str {
    match factor {
        "objective_need" => "客观需求",
        "felt_need" => "主观需求",
        "dissatisfaction" => "对现有系统的不满",
        "resolve" => "决心",
        "evaluating" => "可行性评估",
        "selecting" => "选型",
        "purchasing_power" => "购买力",
        "expected_close" => "预计成交",
        "waiting_for" => "等待事项",
        "expected_on" => "预计日期",
        "likelihood" => "成交可能",
        other => other,
    }
}

/// The value of a factor; dates, numbers and texts stay as they are.
pub fn setting_words(setting: &str) -> &str {
    match setting {
        "yes" => "是",
        "no" => "否",
        "high" => "高",
        "medium" => "中",
        "low" => "低",
        "none" => "无",
        other => other,
    }
}

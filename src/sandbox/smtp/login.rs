//! AUTH PLAIN and LOGIN on the server's side.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::behaviour::Stage;
use super::session::{Session, gone};

impl Session {
    pub(super) async fn auth(&mut self, rest: &str) -> io::Result<bool> {
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let (user, password) = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let initial = if initial.is_empty() {
                    self.challenge("").await?
                } else {
                    decode(initial.as_bytes())
                };
                let mut parts = initial.splitn(3, '\0').skip(1);
                (
                    parts.next().unwrap_or_default().to_owned(),
                    parts.next().unwrap_or_default().to_owned(),
                )
            }
            "LOGIN" => (
                self.challenge("VXNlcm5hbWU6").await?,
                self.challenge("UGFzc3dvcmQ6").await?,
            ),
            _ => return self.tell("504 5.5.4 unknown mechanism").await,
        };
        let right = self
            .shared
            .auth
            .as_ref()
            .is_some_and(|(u, p)| *u == user && *p == password);
        let ordinary = if right {
            "235 2.7.0 welcome"
        } else {
            "535 5.7.8 wrong user or password"
        };
        let answer = self.answer(Stage::Auth, ordinary).await?;
        self.authenticated = answer.is('2');
        self.say(answer).await
    }

    async fn challenge(&mut self, prompt: &str) -> io::Result<String> {
        self.tell(&format!("334 {prompt}")).await?;
        Ok(decode(self.line().await?.ok_or_else(gone)?.trim_ascii()))
    }
}

fn decode(text: &[u8]) -> String {
    String::from_utf8_lossy(&BASE64.decode(text).unwrap_or_default()).into_owned()
}

//! Who may come in: users with passwords, sessions, one-time login links, tokens of programs.
//!
//! A secret that kith makes is 256 random bits, so a plain SHA-256 of it is what is kept; a password goes through
//! argon2id.

use anyhow::{Context, Result, bail};
use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::role::Role;
use crate::store::user::User;
use crate::store::{session, token, user};

/// How long a session lives.
pub const SESSION: TimeDelta = TimeDelta::hours(12);
/// The shortest password that is taken.
const SHORTEST: usize = 8;
/// A hash of no password anybody has, so that an unknown name costs as much as a wrong password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$JKu9YIQVqTPqMfIoRpKeHwXq3xyNx2Tnqh6qZDT3W2Q";

/// Who is at the page.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The user's name; `None` for a login by link.
    pub name: Option<String>,
    /// What he may do.
    pub role: Role,
    /// External id of the owner he is.
    pub owner: Option<String>,
}

impl Visitor {
    /// How the audit names him.
    pub fn actor(&self) -> String {
        match &self.name {
            Some(name) => format!("user:{name}"),
            None => format!("link:{}", self.role),
        }
    }
}

/// A new secret, and what is kept of it.
fn secret() -> Result<(String, Vec<u8>)> {
    let mut bytes = [0u8; 32];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bail!("the system gives no random bytes");
    }
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash_of(&text);
    Ok((text, hash))
}

fn hash_of(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

/// The argon2id hash of a password in PHC form. Takes some ten milliseconds of a core.
pub fn hash_password(password: &str) -> Result<String> {
    if password.chars().count() < SHORTEST {
        bail!("a password has at least {SHORTEST} characters");
    }
    let mut salt = [0u8; 16];
    if SystemRandom::new().fill(&mut salt).is_err() {
        bail!("the system gives no random bytes");
    }
    let salt = SaltString::encode_b64(&salt).map_err(|e| anyhow::anyhow!("salt: {e}"))?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(|e| anyhow::anyhow!("hashing the password: {e}"))?;
    Ok(hash.to_string())
}

fn fits(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// Makes a user, or gives him another role, password and owner (external id or mail address of the rep he is); his
/// sessions end. An error when the password is too short or no owner is called so.
pub async fn put_user(
    conn: &mut PgConnection,
    id: Uuid,
    name: &str,
    role: Role,
    password: &str,
    owner: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    if name.trim().is_empty() || name.len() > 100 {
        bail!("a name has between 1 and 100 characters");
    }
    let secret = password.to_owned();
    let password_hash = tokio::task::spawn_blocking(move || hash_password(&secret)).await??;
    let user = User {
        id,
        name: name.trim().to_owned(),
        role: role.as_str().to_owned(),
        password_hash,
    };
    if !user::put(conn, &user, owner, now).await? {
        bail!("no owner has that external id or mail address");
    }
    session::close_all(conn, &user.name).await?;
    Ok(())
}

/// Logs a user in; the session's secret, or `None` when name or password is wrong.
pub async fn log_in(conn: &mut PgConnection, name: &str, password: &str) -> Result<Option<String>> {
    let user = user::find(conn, name.trim()).await?;
    let hash = user
        .as_ref()
        .map_or(NOBODY, |u| u.password_hash.as_str())
        .to_owned();
    let password = password.to_owned();
    let right = tokio::task::spawn_blocking(move || fits(&password, &hash)).await?;
    match user {
        Some(user) if right => {
            let (text, hash) = secret()?;
            open(conn, &hash, Some(user.id), &user.role).await?;
            Ok(Some(text))
        }
        _ => Ok(None),
    }
}

/// Makes a link that logs in once; its secret.
pub async fn offer_link(conn: &mut PgConnection, role: Role, good_for: TimeDelta) -> Result<String> {
    let (text, hash) = secret()?;
    session::offer_link(conn, &hash, role.as_str(), good_for.num_seconds() as f64).await?;
    Ok(text)
}

/// Uses a login link; the session's secret, or `None` when it was used, ended or never made.
pub async fn use_link(conn: &mut PgConnection, link: &str) -> Result<Option<String>> {
    let Some(role) = session::use_link(conn, &hash_of(link)).await? else {
        return Ok(None);
    };
    let (text, hash) = secret()?;
    open(conn, &hash, None, &role).await?;
    Ok(Some(text))
}

async fn open(conn: &mut PgConnection, hash: &[u8], user: Option<Uuid>, role: &str) -> Result<()> {
    session::open(conn, hash, user, role, SESSION.num_seconds() as f64).await?;
    Ok(())
}

/// Whose session a secret opens.
pub async fn visitor(conn: &mut PgConnection, secret: &str) -> Result<Option<Visitor>> {
    let Some(row) = session::find(conn, &hash_of(secret)).await? else {
        return Ok(None);
    };
    let role = row.role.parse().context("a session's role")?;
    Ok(Some(Visitor {
        name: row.name,
        role,
        owner: row.owner,
    }))
}

/// Ends a session.
pub async fn log_out(conn: &mut PgConnection, secret: &str) -> Result<()> {
    session::close(conn, &hash_of(secret)).await?;
    Ok(())
}

/// Makes a token for a program; `None` when there is one of that name.
pub async fn create_token(
    conn: &mut PgConnection,
    id: Uuid,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    if name.trim().is_empty() || name.len() > 100 {
        bail!("a name has between 1 and 100 characters");
    }
    let (text, hash) = secret()?;
    let made = token::create(conn, id, name.trim(), &hash, now).await?;
    Ok(made.then_some(text))
}

/// The name of the program whose token this is.
pub async fn program(conn: &mut PgConnection, token: &str) -> Result<Option<String>> {
    Ok(token::name_of(conn, &hash_of(token)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_only() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(fits("correct horse", &hash) && !fits("correct hors", &hash));
        assert!(hash_password("short").is_err());
        // Were this no hash at all, an unknown name would be told by the time it takes.
        assert!(PasswordHash::new(NOBODY).is_ok());
    }

    #[test]
    fn secrets_differ_and_only_their_hash_is_kept() {
        let (one, hash) = secret().unwrap();
        let (other, _) = secret().unwrap();
        assert_ne!(one, other);
        assert_eq!(hash_of(&one), hash);
        assert!(one.len() >= 43);
    }
}

//! The embedded Postgres as this process uses it: joined when first asked for, left at the end, however that comes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Mutex;

use crate::postgres::{self, Embedded, EmbeddedOptions};

/// The embedded Postgres as this process uses it. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct OwnServer(Arc<Mutex<Option<Embedded>>>);

impl OwnServer {
    /// Starts the server of that directory, or joins the one that runs there; how to reach kith's database on it.
    pub async fn join(&self, data_dir: Option<PathBuf>) -> Result<PgConnectOptions> {
        let mut joined = self.0.lock().await;
        if let Some(server) = &*joined {
            return Ok(server.connect_options());
        }
        let server = postgres::start(EmbeddedOptions {
            data_dir,
            settings: Vec::new(),
        })
        .await?;
        let options = server.connect_options();
        *joined = Some(server);
        Ok(options)
    }

    /// Leaves it, which stops it unless another process uses it. Nothing where it was never joined.
    pub async fn leave(&self) -> Result<()> {
        match self.0.lock().await.take() {
            Some(server) => Ok(server.stop().await?),
            None => Ok(()),
        }
    }
}

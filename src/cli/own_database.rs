//! A database of its own on the embedded server, for demos and benchmarks: made anew, and dropped or left behind.

use anyhow::Result;
use sqlx::postgres::PgConnectOptions;

use super::Context;
use super::own_server::OwnServer;
use crate::store::{self, admin};

/// The database, empty and without a schema when it is made.
#[derive(Debug)]
pub struct OwnDatabase {
    /// How to reach it.
    pub options: PgConnectOptions,
    name: String,
    server: OwnServer,
}

impl OwnDatabase {
    /// Makes it anew. `None` = somebody works in the one of that name.
    pub async fn make(context: &Context, name: &str) -> Result<Option<Self>> {
        let server = context.server.clone();
        let options = server.join(context.settings.database.data_dir.clone()).await?;
        let maintenance = store::connect(options.clone().database("postgres"), 1).await?;
        let mut conn = maintenance.acquire().await?;
        let in_use = admin::in_use(&mut conn, name).await?;
        if !in_use {
            admin::recreate(&mut conn, name).await?;
        }
        drop(conn);
        maintenance.close().await;
        if in_use {
            server.leave().await?;
            return Ok(None);
        }
        Ok(Some(Self {
            options: options.database(name),
            name: name.to_owned(),
            server,
        }))
    }

    /// Drops it and leaves the server. Close your pools first.
    pub async fn drop(self) -> Result<()> {
        let maintenance = store::connect(self.options.clone().database("postgres"), 1).await?;
        let mut conn = maintenance.acquire().await?;
        admin::drop(&mut conn, &self.name).await?;
        drop(conn);
        maintenance.close().await;
        self.leave().await
    }

    /// Leaves it as it is.
    pub async fn leave(self) -> Result<()> {
        self.server.leave().await
    }
}

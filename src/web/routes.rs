//! Routes that remember their paths, so that a test can walk them.

use axum::Router;
use axum::routing::MethodRouter;

use super::error::HttpError;
use super::state::WebState;

/// A router and the paths it answers.
pub struct Routes {
    router: Router<WebState>,
    paths: Vec<&'static str>,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self {
            router: Router::new(),
            paths: Vec::new(),
        }
    }

    /// One more.
    pub fn at(mut self, path: &'static str, answer: MethodRouter<WebState>) -> Self {
        self.paths.push(path);
        self.router = self.router.route(path, answer);
        self
    }

    /// Those of another list too.
    pub fn and(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        self.router = self.router.merge(other.router);
        self
    }

    /// Puts a layer around those added so far.
    pub fn wrap(mut self, layer: impl FnOnce(Router<WebState>) -> Router<WebState>) -> Self {
        self.router = layer(self.router);
        self
    }

    /// The paths, as axum writes them.
    pub fn paths(&self) -> &[&'static str] {
        &self.paths
    }

    /// The router; every other path is not found.
    pub fn into_router(self, state: WebState) -> Router {
        self.router
            .fallback(async || HttpError::NotFound)
            .with_state(state)
    }
}

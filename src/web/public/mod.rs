//! What recipients and providers reach. A link that was never made is not found, whatever is wrong with it.

mod click;
mod open;
mod receipts;
mod sms;
mod task;
mod unsubscribe;
mod visit;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};

use super::routes::Routes;
use super::state::WebState;
use super::{error_page, probe};

/// Forms of providers and buttons are small.
const MOST_BYTES: usize = 64 << 10;

/// The public routes.
pub fn routes() -> Routes {
    Routes::new()
        .at("/o/{token}", get(open::pixel))
        .at("/c/{token}", get(click::follow))
        .at("/u/{token}", get(unsubscribe::ask).post(unsubscribe::act))
        .at("/t/{token}", get(task::ask).post(task::act))
        .at(
            error_page::PUBLIC_STYLE,
            get(async |State(state): State<WebState>| state.pages.style()),
        )
        .at("/sms/twilio", post(sms::twilio))
        .at("/sms/twilio/status/{message}", post(sms::twilio_status))
        .at("/sms/aliyun/{token}", post(receipts::aliyun))
        .at("/sms/tencent/{token}", post(receipts::tencent))
        .at("/sms/vonage/{token}", post(receipts::vonage))
        .at("/healthz", get(probe::alive))
        .wrap(|router| router.layer(DefaultBodyLimit::max(MOST_BYTES)))
}

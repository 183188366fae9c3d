//! A recording SMS gateway: a plain endpoint and those of the known providers, on loopback. Sends nothing.
//!
//! `POST /sms` takes a JSON object with `to`, `from`, `text` and `message_id`;
//! `POST /2010-04-01/Accounts/{sid}/Messages.json` takes Twilio's form, `POST /sms/json` Vonage's, and `POST /` what Aliyun or
//! Tencent Cloud take. Signatures are recorded, not judged.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::{IncomingStream, Listener};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, Passed};
use super::link::{Cut, Link, LinkFate};
use super::sms_providers;
use crate::domain::registered::RegisteredText;

/// A text message as the gateway got it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedSms {
    /// Recipient.
    pub to: String,
    /// Sender, or the messaging service.
    pub from: String,
    /// The text.
    pub text: String,
    /// The client's own id; empty in Twilio's shape, which has none.
    #[serde(default)]
    pub message_id: String,
    /// Where delivery is to be reported; empty where nobody asked, and in the generic shape.
    #[serde(default)]
    pub status_callback: String,
    /// The registered text that stands for a text of its own.
    #[serde(default)]
    pub registered: Option<RegisteredText>,
}

/// A request as it came, for whoever checks its signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRequest {
    /// Header names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The query without its question mark.
    pub query: String,
    /// The body.
    pub body: String,
}

/// One request, logged when its answer is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsRecord {
    /// Number of the connection, from 1.
    pub connection: u64,
    /// What came.
    pub sms: ReceivedSms,
    /// Place in the order of requests, from 1.
    pub received_at: u64,
    /// Whether the message was taken over.
    pub stored: bool,
    /// The status answered; none when the link was dropped instead.
    pub status: Option<u16>,
    /// The request itself, in the shapes that are signed.
    pub raw: RawRequest,
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum SmsAction {
    /// Take it over and say so.
    Go,
    /// This status, headers and body instead; a 2xx takes the message over.
    Answer {
        /// The status.
        status: u16,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// Wait at the gate, then do the other.
    Hold(Gate, Box<SmsAction>),
    /// Take the message over, then do the other whatever it says.
    StoreThen(Box<SmsAction>),
    /// Reset the link without an answer.
    Drop,
}

impl SmsAction {
    /// Answers with `status` and `body`.
    #[must_use]
    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// Takes the message over and resets the link without a word: the unknown window.
    #[must_use]
    pub fn store_and_drop() -> Self {
        Self::StoreThen(Box::new(Self::Drop))
    }
}

/// The script of a recording gateway. A closure from [`ReceivedSms`] to [`SmsAction`] is one.
pub trait SmsBehaviour: Send + Sync {
    /// What to do with this message.
    fn at(&self, sms: &ReceivedSms) -> SmsAction;

    /// Where to cut connection number `connection` (from 1).
    fn cut(&self, _connection: u64) -> Cut {
        Cut::default()
    }
}

impl<F: Fn(&ReceivedSms) -> SmsAction + Send + Sync> SmsBehaviour for F {
    fn at(&self, sms: &ReceivedSms) -> SmsAction {
        self(sms)
    }
}

/// Gets each message before its acceptance is answered.
pub trait SmsSink: Send + Sync {
    /// Keeps the message.
    fn take(&self, sms: ReceivedSms) -> BoxFuture<'_, ()>;
}

/// How a recording gateway is set up.
pub struct SmsSandboxOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// User and password asked for by Basic authentication.
    pub auth: Option<(String, String)>,
    /// Take a `message_id` once only and answer its repetition like the first.
    pub idempotent: bool,
    /// Who gets the messages.
    pub sink: Option<Arc<dyn SmsSink>>,
    /// What goes wrong.
    pub behaviour: Arc<dyn SmsBehaviour>,
}

impl Default for SmsSandboxOptions {
    fn default() -> Self {
        let behaviour = Arc::new(|_: &ReceivedSms| SmsAction::Go);
        Self {
            port: 0,
            auth: None,
            idempotent: false,
            sink: None,
            behaviour,
        }
    }
}

/// A running recording gateway; stops when dropped.
pub struct SmsSandbox {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

struct Shared {
    auth: Option<String>,
    idempotent: bool,
    sink: Option<Arc<dyn SmsSink>>,
    behaviour: RwLock<Arc<dyn SmsBehaviour>>,
    log: Mutex<Vec<SmsRecord>>,
    connections: AtomicU64,
    sequence: AtomicU64,
}

impl SmsSandbox {
    /// Binds 127.0.0.1 and starts to listen. Fails when the port is taken.
    pub async fn start(options: SmsSandboxOptions) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let addr = tcp.local_addr()?;
        let auth = options
            .auth
            .map(|(user, password)| BASE64.encode(format!("{user}:{password}")));
        let shared = Arc::new(Shared {
            auth: auth.map(|token| format!("Basic {token}")),
            idempotent: options.idempotent,
            sink: options.sink,
            behaviour: RwLock::new(options.behaviour),
            log: Mutex::default(),
            connections: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
        });
        let routes = Router::new()
            .route("/sms", post(plain))
            .route("/2010-04-01/Accounts/{sid}/Messages.json", post(twilio))
            .route("/", post(mainland))
            .route("/sms/json", post(vonage))
            .with_state(shared.clone())
            .into_make_service_with_connect_info::<Caller>();
        let stop = CancellationToken::new();
        let door = Door {
            tcp,
            shared: shared.clone(),
        };
        let stopped = stop.clone();
        let server = tokio::spawn(async move {
            // Cancelled rather than drained: a held request must not hold the end.
            stopped
                .run_until_cancelled(axum::serve(door, routes).into_future())
                .await
                .unwrap_or(Ok(()))
        });
        Ok(Self {
            addr,
            shared,
            stop,
            server,
        })
    }

    /// The requests answered or dropped so far.
    pub fn log(&self) -> Vec<SmsRecord> {
        self.shared
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many connections were opened.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Changes the script.
    pub fn behave(&self, behaviour: impl SmsBehaviour + 'static) {
        *self
            .shared
            .behaviour
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    /// Stops listening.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // It ends by the cancellation; there is nothing to report.
        let _ = (&mut self.server).await;
    }
}

impl Drop for SmsSandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Accepts links that can be cut.
struct Door {
    tcp: TcpListener,
    shared: Arc<Shared>,
}

/// The connection a request came by.
#[derive(Clone)]
struct Caller {
    number: u64,
    fate: LinkFate,
}

impl Listener for Door {
    type Io = Link;
    type Addr = u64;

    async fn accept(&mut self) -> (Link, u64) {
        loop {
            let (tcp, _) = Listener::accept(&mut self.tcp).await;
            let number = self.shared.connections.fetch_add(1, Ordering::AcqRel) + 1;
            let cut = self.shared.behaviour().cut(number);
            if let Ok(link) = Link::new(tcp, cut) {
                return (link, number);
            }
        }
    }

    fn local_addr(&self) -> io::Result<u64> {
        Ok(0)
    }
}

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self {
            number: *stream.remote_addr(),
            fate: stream.io().fate(),
        }
    }
}

async fn plain(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    Json(sms): Json<ReceivedSms>,
) -> Response {
    if !shared.admits(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    shared
        .handle(caller, sms, RawRequest::default(), |at| {
            (
                StatusCode::OK,
                json!({ "id": format!("sms-{at}"), "status": "queued" }),
            )
        })
        .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TwilioForm {
    to: String,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    body: String,
    #[serde(default)]
    status_callback: String,
}

async fn twilio(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(account): Path<String>,
    headers: HeaderMap,
    Form(form): Form<TwilioForm>,
) -> Response {
    if !shared.admits(&headers) {
        let error = json!({ "code": 20003, "message": "Authenticate", "status": 401 });
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    let sms = ReceivedSms {
        to: form.to,
        from: form.from.or(form.messaging_service_sid).unwrap_or_default(),
        text: form.body,
        message_id: String::new(),
        status_callback: form.status_callback,
        registered: None,
    };
    let (to, body) = (sms.to.clone(), sms.text.clone());
    let done = move |at| {
        let sid = format!("SM{at:032x}");
        let answer =
            json!({ "sid": sid, "account_sid": account, "status": "queued", "to": to, "body": body });
        (StatusCode::CREATED, answer)
    };
    shared.handle(caller, sms, RawRequest::default(), done).await
}

async fn mainland(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> Response {
    let query = query.unwrap_or_default();
    match sms_providers::mainland(&headers, &query, &body) {
        Some((sms, done)) => {
            shared
                .handle(caller, sms, RawRequest::of(&headers, query, body), done)
                .await
        }
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn vonage(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: String,
) -> Response {
    match sms_providers::vonage(&body) {
        Some((sms, done)) => {
            let raw = RawRequest::of(&headers, String::new(), body);
            shared.handle(caller, sms, raw, done).await
        }
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

impl RawRequest {
    fn of(headers: &HeaderMap, query: String, body: String) -> Self {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        Self {
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            query,
            body,
        }
    }

    /// The value of a header, named in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Shared {
    fn behaviour(&self) -> Arc<dyn SmsBehaviour> {
        self.behaviour
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.auth
            .as_ref()
            .is_none_or(|wanted| given == Some(wanted.as_bytes()))
    }

    async fn handle(
        &self,
        caller: Caller,
        sms: ReceivedSms,
        raw: RawRequest,
        done: impl FnOnce(u64) -> (StatusCode, serde_json::Value),
    ) -> Response {
        let received_at = self.sequence.fetch_add(1, Ordering::AcqRel) + 1;
        let mut record = SmsRecord {
            connection: caller.number,
            sms,
            received_at,
            stored: false,
            status: None,
            raw,
        };
        let mut action = self.behaviour().at(&record.sms);
        let response = loop {
            action = match action {
                SmsAction::Go => {
                    let (status, body) = done(received_at);
                    break (status, Json(body)).into_response();
                }
                SmsAction::Answer {
                    status,
                    headers,
                    body,
                } => {
                    let mut response =
                        (StatusCode::from_u16(status).unwrap_or_default(), body).into_response();
                    for (name, value) in headers {
                        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                            response.headers_mut().insert(name, value);
                        }
                    }
                    break response;
                }
                SmsAction::Hold(gate, then) => match gate.pass().await {
                    Passed::Open => *then,
                    Passed::Killed => SmsAction::Drop,
                },
                SmsAction::StoreThen(then) => {
                    self.store(&mut record).await;
                    *then
                }
                SmsAction::Drop => {
                    caller.fate.cut();
                    self.keep(record);
                    // Never written: the link is dead.
                    return StatusCode::NO_CONTENT.into_response();
                }
            };
        };
        if response.status().is_success() {
            self.store(&mut record).await;
        }
        record.status = Some(response.status().as_u16());
        self.keep(record);
        response
    }

    async fn store(&self, record: &mut SmsRecord) {
        if record.stored || (self.idempotent && self.knows(&record.sms.message_id)) {
            return;
        }
        record.stored = true;
        if let Some(sink) = &self.sink {
            sink.take(record.sms.clone()).await;
        }
    }

    fn knows(&self, message_id: &str) -> bool {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        !message_id.is_empty()
            && log
                .iter()
                .any(|seen| seen.stored && seen.sms.message_id == message_id)
    }

    fn keep(&self, record: SmsRecord) {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
    }
}

//! GraphQL over WebSocket, by the protocol `graphql-transport-ws`.
//!
//! Always true here: no operation runs before `connection_init` was accepted, and each runs through the same
//! [`Guarded`] executor as one sent by POST.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_graphql::{
    Error, Executor,
    futures_util::{StreamExt, stream},
    http::{WebSocket as Protocol, WebSocketProtocols, WsMessage},
};
use axum::{
    extract::ws::{CloseFrame, Message, WebSocket},
    http::request::Parts,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::graphql::Callers;
use crate::graphql::executor::{Guarded, RequestId, seal};

/// The name of the protocol in `Sec-WebSocket-Protocol`.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// How long a client may take to send `connection_init`.
const INIT_TIME: Duration = Duration::from_secs(10);

/// Messages read and not yet looked at.
const WAITING: usize = 32;

/// How far `connection_init` came.
const SILENT: u8 = 0;
const ASKED: u8 = 1;
const REFUSED: u8 = 2;

/// Serves one connection until it ends. `parts` is its upgrade request.
pub async fn serve<E: Executor>(
    mut socket: WebSocket,
    executor: Guarded<E>,
    callers: Arc<dyn Callers>,
    parts: Parts,
    stop: CancellationToken,
) {
    let init = Arc::new(AtomicU8::new(SILENT));
    let seen = init.clone();
    let (messages, mut inbox) = mpsc::channel::<axum::body::Bytes>(WAITING);
    let inbox = stream::poll_fn(move |cx| inbox.poll_recv(cx));
    let protocol = Protocol::new(executor, inbox, WebSocketProtocols::GraphQLWS).on_connection_init(move |payload| async move {
        seen.store(ASKED, Ordering::Relaxed);
        let request_id = parts.extensions.get::<RequestId>();
        let mut data = callers.of_socket(&parts, payload).await.map_err(|mut refusal| {
            seen.store(REFUSED, Ordering::Relaxed);
            seal(&mut refusal, false, request_id);
            Error { message: refusal.message, source: None, extensions: refusal.extensions }
        })?;
        if let Some(request_id) = request_id {
            data.insert(request_id.clone());
        }
        Ok(data)
    });
    let mut answers = std::pin::pin!(protocol);
    let mut too_late = std::pin::pin!(sleep(INIT_TIME));
    let closing = loop {
        // Answers first: a message taken in while the last one is still waiting would only queue up.
        tokio::select! {
            biased;
            () = stop.cancelled() => break Some((1001, "The server is stopping.".to_owned())),
            answer = answers.next() => match answer {
                Some(WsMessage::Text(text)) => {
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        return;
                    }
                }
                Some(WsMessage::Close(code, reason)) => break Some(meaning(code, reason, init.load(Ordering::Relaxed))),
                None => break None,
            },
            () = &mut too_late, if init.load(Ordering::Relaxed) == SILENT => {
                break Some((4408, "Connection initialisation timeout".to_owned()));
            }
            message = socket.recv(), if messages.capacity() > 0 => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if messages.try_send(message.into_data()).is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    };
    let frame = closing.map(|(code, reason)| CloseFrame { code, reason: reason.into() });
    // The client may be gone already; then nobody needs the farewell.
    let _ = socket.send(Message::Close(frame)).await;
}

/// The close code that the protocol has for what the library reports with codes of its own. The library's reason for a
/// message it cannot read quotes that message, and is not passed on.
fn meaning(code: u16, reason: String, init: u8) -> (u16, String) {
    /// What a close frame has room for.
    const REASON_BYTES: usize = 120;
    let (code, mut reason) = match (code, init) {
        (1002, REFUSED) => (4403, reason),
        (1002, _) => (4400, "Invalid message".to_owned()),
        (1011, _) => (4401, "Unauthorized".to_owned()),
        _ => (code, reason),
    };
    while reason.len() > REASON_BYTES {
        reason.pop();
    }
    (code, reason)
}

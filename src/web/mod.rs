//! Two HTTP listeners: public (links, unsubscribe, hooks) and admin (page, API).

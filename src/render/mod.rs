//! Templates to messages: registry, layouts, inlining, text part, links, footer.

mod render;
mod templates;

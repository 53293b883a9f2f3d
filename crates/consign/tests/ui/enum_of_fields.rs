#[derive(consign::Message)]
enum ArticleEvent {
    Published { article_id: i64 },
}

fn main() {}

#[derive(consign::Message)]
#[message(kind = "article.published")]
struct Published {
    article_id: i64,
}

fn main() {}

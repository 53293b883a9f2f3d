struct Published {
    article_id: i64,
}

async fn publish(mut tx: consign::sqlite::Transaction) -> consign::Result<()> {
    tx.publish(&Published { article_id: 1 }).await?;
    tx.commit().await?;
    Ok(())
}

fn main() {
    let _ = publish;
}

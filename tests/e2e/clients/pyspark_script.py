"""Prices a Parquet table by Spark, and prints the schema and the rows."""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession

from service.score import Pricing


def main(model: str, table: str, output: str) -> None:
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    price = Pricing(model, level=0.9)
    houses = spark.read.parquet(table)
    priced = houses.mapInPandas(price, price.schema(houses.schema))
    priced.write.parquet(output)
    print(json.dumps({"schema": priced.schema.simpleString(), "before": len(houses.columns)}))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Batch APIs of providers: one file a protocol, with what `overt.data.batch.BatchService` asks for."""

"""The same with OpenTelemetry's SDK set up by the program itself.

Usage: instrumented.py PORT NEXT_PORT [EXPORT_URL]
Without the URL the SDK goes by its own variables.
"""

import runpy
import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.urllib import URLLibInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

url = sys.argv.pop() if len(sys.argv) > 3 else None
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
trace.set_tracer_provider(provider)
FlaskInstrumentor().instrument()
URLLibInstrumentor().instrument()
runpy.run_path(str(Path(__file__).parent / "app.py"))

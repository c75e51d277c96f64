"""llama.cpp's server on a loopback port, started by llama.py with the packages of requirements.txt on its path."""

import argparse
import signal

import xllamacpp

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--name", required=True)
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--context", type=int, required=True, help="tokens")
parser.add_argument("--tokens", type=int, required=True, help="that an answer has at most")
parser.add_argument("--endless", action="store_true", help="an answer ends only there")
asked = parser.parse_args()

params = xllamacpp.CommonParams()
params.model.path = asked.model
params.model_alias = [asked.name]
params.hostnames = ["127.0.0.1"]
params.port = asked.port
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # more of them wait for each other on a busy machine
params.n_ctx = asked.context
params.n_parallel = 1
params.n_predict = asked.tokens
params.sampling.ignore_eos = asked.endless
params.ui = False
params.endpoint_slots = True
params.endpoint_metrics = True
server = xllamacpp.Server(params)
signal.pause()

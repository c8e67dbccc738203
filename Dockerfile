# The service, on a CPU: docker build -t affectkit . && docker run -p 8001:8001 -v $PWD/runs/linear:/model:ro affectkit
FROM python:3.11.13-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg libsndfile1 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY affectkit affectkit
# TORCH_INDEX: of wheels for the CPU, which are a tenth of those with CUDA; empty for the ordinary ones.
ARG TORCH_INDEX=
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    '.[speech,face,text,asr,serve]' && useradd --create-home affectkit
USER affectkit
ENV OMP_NUM_THREADS=1 AFFECTKIT_SERVE_DEVICE=cpu HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
EXPOSE 8001
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8001/livez', timeout=5)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["affectkit", "serve"]
CMD ["/model", "--host", "0.0.0.0", "--port", "8001"]

# Stands in for the published images that ours are made of and run beside, where no registry answers: Debian's packages, and the
# servers of our wheels. `bookworm` is a minimal Debian with busybox, made by bases.py.

FROM bookworm AS debian
RUN apt-get update

FROM debian AS python
RUN apt-get install -y --no-install-recommends python3-venv python3-pip python3-dev python-is-python3
COPY authorities.crt /etc/ssl/
ENV SSL_CERT_FILE=/etc/ssl/authorities.crt PIP_CERT=/etc/ssl/authorities.crt \
    NODE_EXTRA_CA_CERTS=/etc/ssl/authorities.crt PIP_BREAK_SYSTEM_PACKAGES=1

FROM debian AS valkey
RUN apt-get install -y --no-install-recommends redis-tools && ln -s redis-cli /usr/bin/valkey-cli
RUN useradd --system --uid 999 valkey && install -d -o valkey /data
COPY valkey-server /usr/bin/
WORKDIR /data

FROM debian AS seaweedfs
RUN ln -s busybox /usr/bin/wget
COPY weed /usr/bin/
VOLUME /data
ENTRYPOINT ["weed", "-logtostderr=true"]

FROM debian AS nginx
RUN apt-get install -y --no-install-recommends nginx-light wget
RUN ln -sf /dev/stderr /var/log/nginx/error.log
STOPSIGNAL SIGQUIT
USER 101

FROM debian AS prometheus
RUN apt-get install -y --no-install-recommends prometheus && install -d -o nobody /prometheus
USER nobody
ENTRYPOINT ["prometheus"]

FROM debian AS alertmanager
RUN apt-get install -y --no-install-recommends prometheus-alertmanager && install -d -o nobody /alertmanager
USER nobody
ENTRYPOINT ["prometheus-alertmanager"]

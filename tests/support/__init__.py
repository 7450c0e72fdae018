"""What tests share. No test imports another test: what two of them need stands here. A map:

builders    values in a few words each; no I/O
    documents, spec_cases, check_examples    Sagas as YAML: whole ones, tables of right and wrong, docs/checks.md
    shapes, attempts      sagas as the model has them, and questions to the decision about their instances
    views                 registers of an instance, and what people are shown of them
    orders, pods          orders of example 02 and what must come of them; pods as people write them
    seeds                 which seeds a simulation runs, each day some others
    oracle                whether the registers of a finished instance agree with each other
distribution    operators, sidecars, people and a NATS in one process, in virtual time, by one seed
    world, endings, meddler, weather    what happens; witness, rest    what must hold, always and in the end
    operators, lines, pods              who is there; product    the modules that are tried, or edits of them
deliveries  a saga's sidecars and apps in one process, in virtual time, by one seed
    world, endings, storm               what happens; witness, rest    what must hold, always and in the end
    pods, line, services                who is there; product    the modules that are tried, or edits of them
fakes       behind the product's ports, in this process
    mesh, memory_cluster  all participants of a saga in one virtual loop; a cluster of Kubernetes, away or lying
    virtual_loop          asyncio by a seed, in no time, and processes in it that can stand still
    surprises             what is logged with a traceback, as a fault
    edited                modules made anew from an edited source
    scripted_app          an app whose every byte a test decides
    served_api, served_app    a sidecar's API, and its web server alone, over real sockets
conversations  one instance as text, for tests/conversations
    script, spoken        a text and its commands, read
    talk, speaker, wording    what the real protocol does then, and how it is said
processes   what tests start, ask and kill: the product's processes, the examples', shells
    stage, shared, post   an example with all that it needs; one of anything for several tests; one sidecar alone
    crashing_sidecar      the real one, which dies where it is told to
    operating, injecting  operator and injector on a real API server
    command, in_process, tour    `sagamesh ...` as its user runs it, and without a process; a page as its reader does
    web                   HTTP requests, one or thousands
servers     what they speak to, and where its programs come from
    nats_server, cluster, proxy, tokens, authority    NATS, alone and as three; the wire to it; who may log in
    control_plane, judging, programs    the API server of Kubernetes, documents put to it, and its build
    prometheus, debian, ports           Prometheus; packages of Debian, unpacked; free ports
node        a node of Kubernetes on this machine, for tests/node alone
"""

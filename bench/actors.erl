%% The peer of the bench `actors`: messages between two processes, processes started, processes killed. Nothing of it is durable.
%% Prints microseconds, a figure a line.
-module(actors).
-export([main/1]).

main([Messages, Processes]) ->
    figure("pingPong", fun() -> ping_pong(list_to_integer(Messages)) end),
    Count = list_to_integer(Processes),
    Pids = figure("spawn", fun() -> start(Count) end),
    figure("kill", fun() -> kill(Pids) end),
    halt(0).

figure(Name, Work) ->
    {Micros, Result} = timer:tc(Work),
    io:format("~s ~b~n", [Name, Micros]),
    Result.

%% Each counts, as an actor of ours does.
ping_pong(Messages) ->
    Self = self(),
    Peer = spawn_link(fun() -> echo(Self, 0) end),
    ping(Peer, Messages div 2).

ping(_, 0) -> ok;
ping(Peer, Left) ->
    Peer ! ball,
    receive ball -> ping(Peer, Left - 1) end.

echo(To, Count) ->
    receive ball -> To ! ball, echo(To, Count + 1) end.

%% Returns when each of them runs.
start(Count) ->
    Self = self(),
    Pids = [spawn(fun() -> Self ! ready, receive stop -> ok end end) || _ <- lists:seq(1, Count)],
    [receive ready -> ok end || _ <- Pids],
    Pids.

%% Returns when each of them is gone.
kill(Pids) ->
    References = [erlang:monitor(process, Pid) || Pid <- Pids],
    [exit(Pid, kill) || Pid <- Pids],
    [receive {'DOWN', Reference, process, _, _} -> ok end || Reference <- References].

@echo off
rem dino VERB ...: runs the tool, building it first if the sources changed. Needs the .NET 10 SDK and nothing else.
dotnet run --project "%~dp0src\DinoSharp.Cli" -c Release -v q --no-launch-profile -- %*

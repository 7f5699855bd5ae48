@echo off
rem test            checks formatting, builds everything, runs the quick tests
rem test long       ... and the long ones
rem test FILTER     only the tests whose full name contains FILTER
rem test golden [FOLDER]  only the golden cases, a line for each
rem The last line is "N passed, N failed, N skipped"; exit code 1 if anything failed. Needs the .NET 10 SDK and nothing else.
setlocal
set program="%~dp0tests\DinoSharp.Tests\bin\Release\net10.0\DinoSharp.Tests.dll"
pushd "%~dp0"
dotnet build DinoSharp.slnx -c Release -v q -nologo || (popd & exit /b 1)
if "%~1"=="golden" goto golden
dotnet format whitespace --folder . --verify-no-changes --exclude "**/obj/" || (popd & exit /b 1)
popd
if "%~1"=="" (dotnet %program% report -trait- Category=Long & goto end)
if "%~1"=="long" (dotnet %program% report & goto end)
dotnet %program% report -method "*%~1*"
:end
if errorlevel 1 exit /b 1
exit /b 0
:golden
popd
if "%~2"=="" (dotnet %program% golden) else (dotnet %program% golden "%~2")
goto end
